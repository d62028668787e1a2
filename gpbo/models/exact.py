"""The bridge between ``Spec`` and BoTorch: builds a real ``SingleTaskGP``, and reads one that the closed form knows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import botorch.settings
import numpy as np
import torch
from botorch.models import SingleTaskGP
from gpytorch.constraints import Interval
from gpytorch.kernels import Kernel, MaternKernel, RBFKernel, ScaleKernel
from gpytorch.likelihoods import FixedNoiseGaussianLikelihood, GaussianLikelihood
from gpytorch.means import ConstantMean
from gpytorch.priors import GammaPrior, LogNormalPrior
from gpytorch.priors.prior import Prior as GPyTorchPrior
from torch import Tensor

from gpbo.models.covariance import make_kernel
from gpbo.models.spec import Array, Bounds, Prior, Spec

MIN_KNOWN_NOISE = 1e-6  # GPyTorch rounds smaller known variances up to this in float64
_UNBOUNDED = 1e20  # GPyTorch's intervals need a finite end


class Unrecognised(Exception):
    """The closed form does not cover this model; the message says what it does not know."""


@dataclass(frozen=True)
class Problem:
    """A model without hyperparameters: specification and data.

    Attributes:
        spec: What kind of GP.
        X: Inputs, shape (n, d).
        y: Outcomes, standardized and maximised, shape (n,).
        known: Noise variances, shape (n,), NaN where the noise is the inferred one; None where it is so everywhere.
    """

    spec: Spec
    X: Array
    y: Array
    known: Array | None = None

    def noise(self, theta: Array) -> Array:
        """Noise variance of every observation, shape (n,)."""
        inferred = math.exp(theta[1])
        if self.known is None:
            return np.full(len(self.y), inferred)
        return np.where(np.isnan(self.known), inferred, np.maximum(self.known, MIN_KNOWN_NOISE))


def _prior(prior: Prior) -> GPyTorchPrior | None:
    if prior.family == "none":
        return None
    family = LogNormalPrior if prior.family == "lognormal" else GammaPrior
    return family(*_doubles(prior.a, prior.b))


def _doubles(*values: float) -> tuple[Tensor, ...]:
    """Scalars as float64 tensors: GPyTorch would round plain numbers to float32."""
    return tuple(torch.tensor(value, dtype=torch.float64) for value in values)


def _constraint(bounds: Bounds, value: float) -> Interval:
    """Plain bounds without a transform, as BoTorch's defaults have them."""
    low, high = bounds
    limits = _doubles(low, high if math.isfinite(high) else _UNBOUNDED)
    return Interval(*limits, transform=None, initial_value=torch.tensor(value, dtype=torch.float64))


def build_model(problem: Problem, theta: Array, device: torch.device | None = None) -> SingleTaskGP:
    """A ``SingleTaskGP`` in eval mode with the given hyperparameters, float64, on the device.

    Args:
        problem: Specification and data.
        theta: Hyperparameters, shape (d + 3,).
        device: Where to put it; the CPU by default.
    """
    with torch.device("cpu"):  # parts of it are made where the process's default device says
        model = _assembled(problem, theta)
    model.to(device=device, dtype=torch.float64)
    write_theta(model, theta)
    return model.eval()


def _assembled(problem: Problem, theta: Array) -> SingleTaskGP:
    spec = problem.spec
    kernel: Kernel = make_kernel(
        spec.kind,
        ard_num_dims=spec.d,
        lengthscale_prior=_prior(spec.lengthscale),
        lengthscale_constraint=_constraint(spec.lengthscale_bounds, 1.0),
    )
    base = kernel
    if spec.scaled:
        kernel = ScaleKernel(
            base, outputscale_prior=_prior(spec.scale), outputscale_constraint=_constraint(spec.scale_bounds, 1.0)
        )
    X, Y = torch.from_numpy(problem.X.copy()), torch.from_numpy(problem.y.copy())[:, None]
    if problem.known is None:
        likelihood = GaussianLikelihood(
            noise_prior=_prior(spec.noise), noise_constraint=_constraint(spec.noise_bounds, spec.initial_noise)
        )
    else:
        noise = np.maximum(problem.noise(theta), MIN_KNOWN_NOISE)  # as it would be, without a warning
        likelihood = FixedNoiseGaussianLikelihood(torch.from_numpy(noise))
    # Outcomes may be a subset of standardized ones.
    with botorch.settings.validate_input_scaling(False):
        return SingleTaskGP(X, Y, likelihood=likelihood, covar_module=kernel, outcome_transform=None)


@torch.no_grad()
def write_theta(model: SingleTaskGP, theta: Array) -> None:
    """Writes hyperparameters into a recognised model and drops its cached posterior."""
    kernel = model.covar_module
    base = kernel.base_kernel if isinstance(kernel, ScaleKernel) else kernel
    like = base.raw_lengthscale
    values = torch.as_tensor(theta).to(like)
    model.train()
    model.mean_module.constant = values[0]
    if isinstance(kernel, ScaleKernel):
        kernel.outputscale = _inside(values[2].exp(), kernel.raw_outputscale_constraint)
    if not isinstance(model.likelihood, FixedNoiseGaussianLikelihood):
        model.likelihood.noise = _inside(values[1].exp(), model.likelihood.noise_covar.raw_noise_constraint)
    base.lengthscale = _inside(values[3:].exp(), base.raw_lengthscale_constraint)


def _inside(values: Tensor, constraint: Interval) -> Tensor:
    """Values a hair inside their bounds: rounding may have crossed one, and a transform maps it to infinity."""
    low, high = constraint.lower_bound.to(values), constraint.upper_bound.to(values)
    hair = 1e-10 if constraint.enforced else 0.0
    return values.clamp(low * (1.0 + hair), high * (1.0 - hair))


def _read_prior(module: Kernel, name: str) -> Prior:
    entries = {key.rsplit(".", 1)[-1]: value for key, value in module._priors.items()}
    if not entries:
        return Prior()
    if set(entries) != {name}:
        raise Unrecognised(f"priors {sorted(entries)} on {type(module).__name__}")
    prior, closure, _ = entries[name]
    value = name.removesuffix("_prior")
    if type(prior) not in (LogNormalPrior, GammaPrior):
        raise Unrecognised(f"a {type(prior).__name__} on {value}")
    if prior._transform is not None or not torch.equal(closure(module), getattr(module, value)):
        raise Unrecognised(f"a prior on a function of the {value}")
    if any(parameter.numel() != 1 for parameter in prior.state_dict().values()):
        raise Unrecognised(f"a different prior for each {value}")
    if type(prior) is LogNormalPrior:
        return Prior("lognormal", prior.base_dist.loc.item(), prior.base_dist.scale.item())
    return Prior("gamma", prior.concentration.item(), prior.rate.item())


def _read_bounds(constraint: Interval) -> Bounds:
    low, high = constraint.lower_bound, constraint.upper_bound
    if low.numel() != 1 or high.numel() != 1:
        raise Unrecognised("bounds that differ between dimensions")
    return max(low.item(), 0.0), high.item() if high.item() < _UNBOUNDED else math.inf


def read_model(model: SingleTaskGP) -> tuple[Problem, Array]:
    """Specification, data and current hyperparameters of a model that the closed form covers.

    Raises:
        Unrecognised: If the model has a kernel, prior, mean, likelihood, transform or shape that the closed form does
            not
            know; such a model is fitted by BoTorch itself.
    """
    if type(model) is not SingleTaskGP:
        raise Unrecognised(f"model class {type(model).__name__}")
    kernel = model.covar_module
    scaled = type(kernel) is ScaleKernel
    base = kernel.base_kernel if scaled else kernel
    kind = getattr(base, "kind", None)
    if type(base) is RBFKernel:
        kind = "rbf"
    elif type(base) is MaternKernel:
        kind = {0.5: "matern12", 1.5: "matern32", 2.5: "matern52"}[base.nu]
    elif type(base).__module__ != make_kernel.__module__:
        raise Unrecognised(f"kernel {type(base).__name__}")
    if base.active_dims is not None or kernel.active_dims is not None:
        raise Unrecognised("a kernel on a subset of the dimensions")
    X, y = model.train_inputs[0], model.train_targets
    if getattr(model, "input_transform", None) is not None:
        if any(p.requires_grad for p in model.input_transform.parameters()):
            raise Unrecognised("a learned input transform")
        X = model.input_transform(X) if model.training else model.train_inputs[0]
    if X.ndim != 2 or y.ndim != 1:
        raise Unrecognised(f"a batch of models, inputs of shape {tuple(X.shape)}")
    if base.lengthscale.numel() != X.shape[-1]:
        raise Unrecognised("one lengthscale for several dimensions")
    mean = model.mean_module
    if type(mean) is not ConstantMean or mean._priors or mean._constraints:
        raise Unrecognised("a mean that is not a plain constant")
    if not all(p.requires_grad for p in model.parameters()):
        raise Unrecognised("frozen hyperparameters")
    likelihood = model.likelihood
    known: Array | None = None
    noise, noise_bounds, noise_value = Prior(), (0.0, math.inf), 1.0
    if type(likelihood) is FixedNoiseGaussianLikelihood:
        if likelihood.second_noise_covar is not None:
            raise Unrecognised("known noise with a learned part")
        known = likelihood.noise.detach().cpu().double().numpy()
    elif type(likelihood) is GaussianLikelihood:
        noise = _read_prior(likelihood.noise_covar, "noise_prior")
        noise_bounds = _read_bounds(likelihood.noise_covar.raw_noise_constraint)
        noise_value = likelihood.noise.item()
    else:
        raise Unrecognised(f"likelihood {type(likelihood).__name__}")
    spec = Spec(
        kind=str(kind),
        d=X.shape[-1],
        scaled=scaled,
        infer_noise=known is None,
        noise=noise,
        scale=_read_prior(kernel, "outputscale_prior") if scaled else Prior(),
        lengthscale=_read_prior(base, "lengthscale_prior"),
        noise_bounds=noise_bounds,
        scale_bounds=_read_bounds(kernel.raw_outputscale_constraint) if scaled else (1.0, 1.0),
        lengthscale_bounds=_read_bounds(base.raw_lengthscale_constraint),
        initial_noise=noise_value,
    )
    theta = np.zeros(spec.d + 3)
    theta[0] = model.mean_module.constant.item()
    theta[1] = math.log(noise_value)
    theta[2] = math.log(kernel.outputscale.item()) if scaled else 0.0
    theta[3:] = np.log(_numpy(base.lengthscale).reshape(-1))
    return Problem(spec, _numpy(X), _numpy(y), known), theta


def _numpy(values: Tensor) -> Array:
    return values.detach().cpu().double().numpy().copy()
