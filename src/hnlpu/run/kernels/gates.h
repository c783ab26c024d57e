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
    for (; i + HALF <= n; i += HALF) {
        Halves gate, up;
#pragma GCC unroll 8
        for (int j = 0; j < HALF; j++) {
            gate[j] = gate_up[2 * (i + j)];
            up[j] = gate_up[2 * (i + j) + 1];
        }
        const HalfInts low = gate < limit, over = up > -limit;
        const Halves all = (Halves){0} + limit;
        gate = (Halves)(((HalfInts)gate & low) | ((HalfInts)all & ~low));
        up = (Halves)(((HalfInts)up & over) | ((HalfInts)(-all) & ~over));
        const HalfInts under = up < limit;
        up = (Halves)(((HalfInts)up & under) | ((HalfInts)all & ~under));
        const Doubles x = __builtin_convertvector(-(gain * gate), Doubles);
        const Doubles sigmoid = 1.0 / (1.0 + NAME(exp_of)(x));
        if (!NAME(any)(NAME(doubtful)(x, sigmoid))) {
            const Halves y = (up + 1.0f) * (gate * __builtin_convertvector(sigmoid, Halves));
            memcpy(out + i, &y, sizeof y);
        } else {
            for (int j = 0; j < HALF; j++)
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
    for (; i + HALF <= n; i += HALF) {
        Halves gate, up;
        memcpy(&gate, gates + i, sizeof gate);
        const Doubles x = __builtin_convertvector(-gate, Doubles);
        const Doubles sigmoid = 1.0 / (1.0 + NAME(exp_of)(x));
        Halves s;
        if (!NAME(any)(NAME(doubtful)(x, sigmoid)))
            s = __builtin_convertvector(sigmoid, Halves);
        else
            for (int j = 0; j < HALF; j++)
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
