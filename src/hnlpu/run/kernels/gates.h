/* Gates in `float` numerics: a template over one instruction set, as vector_unit.h is, which
   includes it. */

INLINE float NAME(gated)(float gate, float up, float gain, float limit)
{
    gate = gate < limit ? gate : limit;
    up = up > -limit ? up : -limit;
    up = up < limit ? up : limit;
    const float sigmoid = (float)(1.0 / (1.0 + exp((double)-(gain * gate))));
    return (up + 1.0f) * (gate * sigmoid);
}

/* (up + 1) * gate * sigmoid(gain * gate), both clamped; gates and ups alternate */
TARGET static void NAME(swiglu)(const float *gate_up, int64_t n, float gain, float limit, float *out)
{
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        Float8 gate, up;
#pragma GCC unroll 8
        for (int j = 0; j < 8; j++) {
            gate[j] = gate_up[2 * (i + j)];
            up[j] = gate_up[2 * (i + j) + 1];
        }
        const Int8 low = gate < limit, over = up > -limit;
        const Float8 all = (Float8){0} + limit;
        gate = (Float8)(((Int8)gate & low) | ((Int8)all & ~low));
        up = (Float8)(((Int8)up & over) | ((Int8)(-all) & ~over));
        const Int8 under = up < limit;
        up = (Float8)(((Int8)up & under) | ((Int8)all & ~under));
        const Double8 x = __builtin_convertvector(-(gain * gate), Double8);
        const Long8 fits = (x >= -87.0) & (x <= 87.0);
        int64_t inside = -1;
#pragma GCC unroll 8
        for (int j = 0; j < 8; j++)
            inside &= fits[j];
        const Double8 sigmoid = 1.0 / (1.0 + NAME(exp8)(x));
        if (inside && NAME(certain)(sigmoid)) {
            const Float8 y = (up + 1.0f) * (gate * __builtin_convertvector(sigmoid, Float8));
            memcpy(out + i, &y, sizeof y);
        } else {
            for (int j = 0; j < 8; j++)
                out[i + j] = NAME(gated)(gate_up[2 * (i + j)], gate_up[2 * (i + j) + 1], gain, limit);
        }
    }
    for (; i < n; i++)
        out[i] = NAME(gated)(gate_up[2 * i], gate_up[2 * i + 1], gain, limit);
}

/* gate * sigmoid(gate), times up unless that is NULL */
TARGET static void NAME(silu)(const float *gates, const float *ups, int64_t n, float *out)
{
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        Float8 gate, up;
        memcpy(&gate, gates + i, sizeof gate);
        const Double8 x = __builtin_convertvector(-gate, Double8);
        const Long8 fits = (x >= -87.0) & (x <= 87.0);
        int64_t inside = -1;
#pragma GCC unroll 8
        for (int j = 0; j < 8; j++)
            inside &= fits[j];
        const Double8 sigmoid = 1.0 / (1.0 + NAME(exp8)(x));
        Float8 s;
        if (inside && NAME(certain)(sigmoid))
            s = __builtin_convertvector(sigmoid, Float8);
        else
            for (int j = 0; j < 8; j++)
                s[j] = (float)(1.0 / (1.0 + exp((double)-gate[j])));
        gate = gate * s;
        if (ups) {
            memcpy(&up, ups + i, sizeof up);
            gate = gate * up;
        }
        memcpy(out + i, &gate, sizeof gate);
    }
    for (; i < n; i++) {
        const float y = gates[i] * (float)(1.0 / (1.0 + exp((double)-gates[i])));
        out[i] = ups ? y * ups[i] : y;
    }
}
