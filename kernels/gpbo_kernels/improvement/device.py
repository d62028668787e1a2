"""log(phi(u) + u Phi(u)) and its ratios as a Triton device function, for the kernels of several operations."""

import triton
import triton.language as tl


@triton.jit
def log_improvement(u):
    """Log h(u), Phi(u) / h(u) and phi(u) / h(u) for h(u) = phi(u) + u Phi(u); as ``tails.log_improvement``.

    Below u = -1, h / phi = 1 - x M(x) with x = -u and Mills' ratio M, which cancels. Times (1 + x)^2 it is smooth in
    s = 10 / (x + 4) - 1 up to x = infinity, and its Chebyshev series in s to degree 24 is exact to rounding (relative
    error 4e-16) without a cancellation.
    """
    low = u < -1.0
    x = tl.where(low, -u, 1.0)
    s = 10.0 / (x + 4.0) - 1.0
    p = s * 3.1961274767329716e-10 - 4.19155569482106e-11
    p = p * s - 3.6915744228890686e-09
    p = p * s + 1.6981986112789288e-09
    p = p * s + 2.442271050876134e-08
    p = p * s - 2.1986997654586664e-08
    p = p * s - 1.3347621155190628e-07
    p = p * s + 1.8696099632774147e-07
    p = p * s + 7.303478274269834e-07
    p = p * s - 1.3002656317278993e-06
    p = p * s - 4.523487048170549e-06
    p = p * s + 7.792394282749246e-06
    p = p * s + 3.324033403931082e-05
    p = p * s - 3.267508614682242e-05
    p = p * s - 0.0002699958533664031
    p = p * s - 0.0001216784311887272
    p = p * s + 0.0018317598563949687
    p = p * s + 0.0052867393803006845
    p = p * s + 0.002632257750774651
    p = p * s - 0.02124764222256094
    p = p * s - 0.06989975413511407
    p = p * s - 0.0994777008126846
    p = p * s - 0.006650383546608168
    p = p * s + 0.3042272135757507
    p = p * s + 1.2609676963209662
    ratio = p / (x + 1.0) / (x + 1.0)
    upper = tl.where(low, 0.0, u)
    density = tl.exp(upper * upper * -0.5) * 0.3989422804014327
    cdf = tl.erf(upper * 0.7071067811865476) * 0.5 + 0.5
    h = tl.where(low, ratio, density + upper * cdf)
    log_h = tl.log(h) + tl.where(low, u * u * -0.5 - 0.9189385332046727, 0.0)
    return log_h, tl.where(low, (1.0 - ratio) / x, cdf) / h, tl.where(low, 1.0, density) / h
