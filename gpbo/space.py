"""The search space: the only place that knows parameters by name.

A point has three forms: *params*, a dict of plain Python values; *codes*, a tuple of plain numbers that identifies it
exactly (:mod:`gpbo.parameters`); and *u*, a row of the unit cube in which models and searches work.
"""

import itertools
import math
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gpbo.encoding import coding
from gpbo.errors import SpaceError, SpaceTypeError
from gpbo.markup import table
from gpbo.parameters import Categorical, Code, Float, Int, Parameter
from gpbo.scalars import shown

Floats = NDArray[np.float64]
Codes: TypeAlias = tuple[Code, ...]
Params: TypeAlias = dict[str, Any]

__all__ = ["Categorical", "Codes", "Float", "Int", "Parameter", "Params", "Space"]


class Space:
    """A box of named parameters; each is a :class:`Float`, an :class:`Int` or a :class:`Categorical`.

    In the unit cube a float or an integer takes one coordinate, with its bounds at 0 and 1, and so does a category that
    is ordered or has two choices; any other category takes one coordinate per choice (one-hot). A parameter with a
    single value takes none, but a space of one point keeps one coordinate, constant at 0.5.

    Args:
        parameters: From each name, a non-empty string, to its parameter.

    Raises:
        SpaceError: If there is no parameter, or a name is empty.
        SpaceTypeError: If ``parameters`` is not a mapping, a name is not a string, or a value is not a parameter.

    Attributes:
        dim: D, the number of unit coordinates.
        n_params: The number of parameters.
        cardinality: The number of distinct points; None if a ``Float`` is continuous.
        levels: Per coordinate, int64 of shape (D,): 0 continuous, m >= 2 a grid of m levels (2**62 at most), -1 a
            member of a one-hot group, 1 the constant coordinate of a space of one point.
        unnamed: Whether the space was made by :meth:`from_bounds`; its users think in vectors rather than names.
        owner: Per coordinate, the index of the parameter it belongs to, int64 of shape (D,).
    """

    def __init__(self, parameters: Mapping[str, Parameter]) -> None:
        if isinstance(parameters, Space):
            parameters = dict(parameters.items())
        if not isinstance(parameters, Mapping):
            raise SpaceTypeError(f"Space needs a dict from name to parameter, got {shown(parameters)}.")
        if not parameters:
            raise SpaceError("Space needs at least one parameter, got none.")
        for name, parameter in parameters.items():
            if not isinstance(name, str):
                raise SpaceTypeError(f"Space: parameter names must be strings, got {shown(name)}.")
            if not name:
                raise SpaceError("Space: a parameter's name is empty; give it a name.")
            if not isinstance(parameter, (Float, Int, Categorical)):
                cure = "use gpbo.Float(low, high), gpbo.Int(low, high) or gpbo.Categorical(choices)"
                raise SpaceTypeError(f"Space: parameter {name!r} is {shown(parameter)}; {cure}.")
        self._parameters = dict(parameters)
        self._codings = [coding(parameter) for parameter in self._parameters.values()]
        ends = np.cumsum([0] + [len(one.levels) for one in self._codings]).tolist()
        self._columns = [slice(start, end) for start, end in itertools.pairwise(ends)]
        counts = [one.count for one in self._codings]
        finite = [count for count in counts if count is not None]
        self.cardinality: int | None = math.prod(finite) if len(finite) == len(counts) else None
        self.n_params = len(self._parameters)
        self.unnamed = False
        self._single = self.cardinality == 1
        self._enumerated: tuple[Floats, list[Hashable]] | None = None
        self.dim: int = 1 if self._single else ends[-1]
        levels = [1] if self._single else [level for one in self._codings for level in one.levels]
        self.levels: NDArray[np.int64] = np.array(levels, dtype=np.int64)
        self.levels.flags.writeable = False
        widths = [len(one.levels) for one in self._codings]
        owner = [0] if self._single else np.repeat(np.arange(self.n_params), widths)
        self.owner: NDArray[np.int64] = np.array(owner, dtype=np.int64)
        self.owner.flags.writeable = False

    @classmethod
    def from_bounds(cls, lower: ArrayLike, upper: ArrayLike) -> "Space":
        """A box in R^d with parameters named x0, x1, ..., for users of plain arrays.

        Args:
            lower: Lower bounds, shape (d,).
            upper: Upper bounds, shape (d,).

        Raises:
            SpaceError: If the bounds differ in length, are empty, reversed or not finite.
            SpaceTypeError: If they are not sequences of real numbers.
        """
        low, high = _vector("lower", lower), _vector("upper", upper)
        if len(low) != len(high):
            raise SpaceError(
                f"from_bounds: {len(low)} lower bounds but {len(high)} upper bounds; give as many of each."
            )
        parameters: dict[str, Parameter] = {}
        for index, (a, b) in enumerate(zip(low, high, strict=True)):
            try:
                parameters[f"x{index}"] = Float(a, b)
            except SpaceError as error:
                raise type(error)(f"from_bounds: bounds of dimension {index}: {error}") from None
        space = cls(parameters)
        space.unnamed = True
        return space

    def __repr__(self) -> str:
        return f"Space({self._parameters!r})"

    def _repr_html_(self) -> str:
        size = "" if self.cardinality is None else f", {self.cardinality} points"
        return table(f"Space: {len(self)} parameters{size}", ["parameter", "values"], list(self.items()))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Space):
            return NotImplemented
        return list(self.items()) == list(other.items())

    def __hash__(self) -> int:
        return hash(tuple(self.items()))

    def __len__(self) -> int:
        return self.n_params

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __getitem__(self, name: str) -> Parameter:
        try:
            return self._parameters[name]
        except (KeyError, TypeError):
            raise SpaceError(f"No parameter {name!r}; the space has {', '.join(map(repr, self))}.") from None

    def items(self) -> Iterable[tuple[str, Parameter]]:
        """Names and parameters, in the order they were declared."""
        return self._parameters.items()

    def contains(self, params: Any) -> bool:
        """Whether ``params`` is a dict that gives every parameter an admissible value, and no other."""
        try:
            self.codes(params)
        except SpaceError:
            return False
        return True

    def codes(self, params: Mapping[str, Any]) -> Codes:
        """The exact identity of a point as plain numbers, which JSON holds without loss.

        Raises:
            SpaceError: If a name is missing or unknown, or a value lies outside the space.
            SpaceTypeError: If ``params`` is not a mapping, or a value has the wrong type.
        """
        if not isinstance(params, Mapping):
            raise SpaceTypeError(f"A point must be a dict from parameter name to value, got {shown(params)}.")
        if params.keys() != self._parameters.keys():
            for name in self._parameters:
                if name not in params:
                    raise SpaceError(f"Parameter {name!r} is missing from {dict(params)!r}.")
            unknown = next(name for name in params if name not in self._parameters)
            raise SpaceError(f"Parameter {unknown!r} is unknown; the space has {', '.join(map(repr, self))}.")
        return tuple(self._read(name, parameter, params[name]) for name, parameter in self.items())

    def params(self, codes: Sequence[Sequence[Code]]) -> list[Params]:
        """The named points behind rows of codes."""
        columns = list(zip(*codes, strict=True)) or [()] * self.n_params
        natives = [p.natives(column) for p, column in zip(self._parameters.values(), columns, strict=True)]
        return [dict(zip(self._parameters, row, strict=True)) for row in zip(*natives, strict=True)]

    def key(self, params: Mapping[str, Any]) -> Hashable:
        """The exact identity of a named point; see :meth:`keys`."""
        return self.codes(params)

    def to_x(self, params: Sequence[Mapping[str, Any]]) -> Floats:
        """Named points as native numbers, shape (m, n_params); a category is the index of its choice."""
        return self.x_of_codes([self.codes(point) for point in params])

    def from_x(self, x: ArrayLike) -> list[Params]:
        """Named points from native numbers, as :meth:`to_x` gives them.

        Args:
            x: Shape (m, n_params), or (n_params,) for one point. NumPy or torch, of any real dtype; values in a
                narrower dtype than float64 may exceed a bound by that dtype's rounding, and are put on it.

        Raises:
            SpaceError: If the shape is wrong or a value lies outside the space.
            SpaceTypeError: If the values are not real numbers.
        """
        return self.params(self.codes_of_x(x))

    def encode(self, params: Sequence[Mapping[str, Any]]) -> Floats:
        """Named points as rows of the unit cube, shape (m, D)."""
        return self.encode_codes([self.codes(point) for point in params])

    def decode(self, U: Floats) -> list[Params]:
        """The feasible named points nearest to rows of the unit cube, shape (m, D) -> m dicts."""
        return self.params(self.decode_codes(U))

    def encode_codes(self, codes: Sequence[Codes]) -> Floats:
        """Rows of the unit cube for rows of codes, shape (m, D)."""
        if self._single:
            return np.full((len(codes), 1), 0.5)
        U = np.empty((len(codes), self.dim))
        if codes:
            for one, column, values in zip(self._codings, self._columns, zip(*codes, strict=True), strict=True):
                U[:, column] = one.encode(values)
        return U

    def decode_codes(self, U: Floats) -> list[Codes]:
        """Codes of the feasible points nearest to rows of the unit cube, shape (m, D) -> m tuples."""
        U = np.asarray(U, dtype=np.float64)
        parts = [one.decode(U[:, column]) for one, column in zip(self._codings, self._columns, strict=True)]
        return list(zip(*parts, strict=True))

    def x_of_codes(self, codes: Sequence[Codes]) -> Floats:
        """Native numbers for rows of codes, shape (m, n_params)."""
        x = np.empty((len(codes), self.n_params))
        if codes:
            for j, (parameter, column) in enumerate(
                zip(self._parameters.values(), zip(*codes, strict=True), strict=True)
            ):
                x[:, j] = parameter.numbers(column)
        return x

    def codes_of_x(self, x: ArrayLike) -> list[Codes]:
        """Codes for native numbers; see :meth:`from_x` for what is accepted."""
        array = _array("x", x)
        array = array[None, :] if array.ndim == 1 else array
        if array.ndim != 2 or array.shape[1] != self.n_params:
            shape = tuple(np.shape(array))
            raise SpaceError(f"x has shape {shape}; it must be (points, {self.n_params}), one column per parameter.")
        slack = float(np.finfo(array.dtype).eps) if array.dtype in (np.float16, np.float32) else 0.0
        columns = []
        for (name, parameter), values in zip(self.items(), array.T.tolist(), strict=True):
            columns.append([self._read(name, parameter, value, slack, as_number=True) for value in values])
        return list(zip(*columns, strict=True))

    def keys(self, U: Floats) -> list[Hashable]:
        """The exact identity of the point behind each row: equal where ``decode`` gives equal values."""
        return list(self.decode_codes(U))

    def snap(self, U: Floats) -> Floats:
        """The nearest feasible rows, (m, D) -> (m, D): clipped to the cube, on the grids, one choice per category."""
        U = np.asarray(U, dtype=np.float64)
        if self._single:
            return np.full((len(U), 1), 0.5)
        out = np.empty_like(U)
        for one, column in zip(self._codings, self._columns, strict=True):
            out[:, column] = one.snap(U[:, column])
        return out

    def sample(self, V: Floats) -> Floats:
        """Feasible rows from uniform numbers, shape (m, n_params) in [0, 1) -> (m, D).

        Every level of a grid and every choice is equally likely; on a log scale, floats and integers are log-uniform.
        """
        if self._single:
            return np.full((len(V), 1), 0.5)
        out = np.empty((len(V), self.dim))
        for j, (one, column) in enumerate(zip(self._codings, self._columns, strict=True)):
            out[:, column] = one.sample(V[:, j])
        return out

    def neighbours(self, u: Floats) -> Floats:
        """All rows that differ from ``u`` in one discrete parameter, shape (D,) -> (k, D).

        Other choices of a category; all levels of a small grid, and of a large one those 1, 2, 4, ... steps away.
        """
        base = self.snap(np.asarray(u, dtype=np.float64)[None, :])[0]
        blocks = [np.empty((0, self.dim))]
        for one, column in zip(self._codings, self._columns, strict=True):
            near = one.neighbours(base[column])
            block = np.repeat(base[None, :], len(near), axis=0)
            block[:, column] = near
            blocks.append(block)
        return np.concatenate(blocks)

    def point(self, index: int) -> Floats:
        """The row of the ``index``-th point of a finite space, shape (D,); the last parameter changes fastest."""
        if self.cardinality is None or not 0 <= index < self.cardinality:
            raise SpaceError(f"No point {index!r}: the space has {self.cardinality or 'infinitely many'} points.")
        codes: list[Code] = []
        for one in reversed(self._codings):
            assert one.count is not None
            index, code = divmod(index, one.count)
            codes.append(code)
        row: Floats = self.encode_codes([tuple(reversed(codes))])[0]
        return row

    def enumerated(self) -> tuple[Floats, list[Hashable]]:
        """All points of a finite space and their keys, in the order of :meth:`point`; kept from the first call on."""
        if self._enumerated is None:
            assert self.cardinality is not None
            rows = np.array([self.point(index) for index in range(self.cardinality)])
            rows.flags.writeable = False
            self._enumerated = rows, self.keys(rows)
        return self._enumerated

    def _read(self, name: str, parameter: Parameter, value: Any, slack: float = 0.0, as_number: bool = False) -> Code:
        try:
            return parameter.read_number(value, slack) if as_number else parameter.read(value, slack)
        except SpaceError as error:
            raise type(error)(f"Parameter {name!r} {error}.") from None


def _vector(name: str, bounds: ArrayLike) -> list[float]:
    array = _array(name, bounds)
    if array.ndim != 1 or not len(array):
        raise SpaceError(f"{name} has shape {array.shape}; it must be a non-empty list of bounds, one per dimension.")
    values: list[float] = array.tolist()
    return values


def _array(name: str, values: Any) -> NDArray[Any]:
    """A NumPy array of real numbers from anything array-like, torch tensors on any device included."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = (
            values if values.dtype.itemsize <= 8 and "bfloat" not in str(values.dtype) else values.float()
        ).numpy()
    try:
        array = np.asarray(values)
    except ValueError:
        raise SpaceError(f"{name} must be a rectangular array of real numbers, got {shown(values)}.") from None
    if array.dtype.kind not in "iuf":
        raise SpaceTypeError(f"{name} must be an array of real numbers, got {shown(values)}.")
    return array
