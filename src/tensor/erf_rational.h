/* erf(x) = x P(x^2) / Q(x^2) for |x| <= ERF_END, and where |x| is larger erf(ERF_END), which is 1 in f32: fitted to the
 * least relative error (6e-8); with f32's rounding below 5e-7. One division and no exponential: half the time of the
 * formulas with one.
 *
 * s: x^2, a float or a vector of them; fused(a, b, c): a b + c of such, with c a float.
 */
#ifndef TENSOR_ERF_RATIONAL_H
#define TENSOR_ERF_RATIONAL_H

#define ERF_END 3.95f
#define ERF_P(fused, s)                                                                                           \
    fused(fused(fused(fused(fused((s)*1.96031493e-8f - 1.95076291e-6f, s, 1.43789293e-4f), s, 3.80714494e-3f), s, \
                      5.09211794e-2f),                                                                            \
                s, 2.02567637e-1f),                                                                               \
          s, 1.12837911f)
#define ERF_Q(fused, s) \
    fused(fused(fused((s)*9.79666249e-4f + 1.4574389e-2f, s, 1.16088137e-1f), s, 5.1285243e-1f), s, 1.0f)

#endif
