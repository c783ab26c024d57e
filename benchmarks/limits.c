/* What this machine can do at most: bytes read from memory a second, 8-bit products a second.

   limits read|int8 THREADS: each thread works alone for about a second; prints the sum of the
   threads' rates, in GB/s or in 10^9 multiplications a second. */

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define BYTES ((size_t)512 << 20)
#define SECONDS 0.7

typedef uint64_t Words __attribute__((vector_size(64)));

static char *memory;
static int threads, reading;
static double rates[256];
static volatile uint64_t sink;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

static void read_memory(int number)
{
    const size_t share = BYTES / threads / 256 * 256;
    const char *from = memory + share * number;
    Words a = {0}, b = {0}, c = {0}, d = {0};
    const double began = now();
    double bytes = 0;
    while (now() - began < SECONDS) {
        for (size_t i = 0; i < share; i += 256) {
            const Words *w = (const Words *)(from + i);
            __builtin_prefetch(from + i + 2048);
            __builtin_prefetch(from + i + 2112);
            __builtin_prefetch(from + i + 2176);
            __builtin_prefetch(from + i + 2240);
            a ^= w[0], b ^= w[1], c ^= w[2], d ^= w[3];
        }
        bytes += share;
    }
    rates[number] = bytes / (now() - began) / 1e9;
    a ^= b ^ c ^ d;
    sink = a[0] ^ a[1] ^ a[2] ^ a[3] ^ a[4] ^ a[5] ^ a[6] ^ a[7];
}

#if defined(__x86_64__)
__attribute__((target("avx512f,avx512vnni"))) static double int8_products(void)
{
    __m512i sums[12], x = _mm512_set1_epi8(1);
    for (int i = 0; i < 12; i++)
        sums[i] = _mm512_set1_epi32(i);
    for (int n = 0; n < 100000; n++) {
#pragma GCC unroll 12
        for (int i = 0; i < 12; i++)
            sums[i] = _mm512_dpbusd_epi32(sums[i], x, x);
        __asm__ volatile("" : "+v"(x));
    }
    for (int i = 1; i < 12; i++)
        sums[0] = _mm512_add_epi32(sums[0], sums[i]);
    sink = (uint64_t)_mm512_reduce_add_epi32(sums[0]);
    return 100000.0 * 12 * 64;
}
static int has_int8(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512vnni") != 0;
}
#else
static double int8_products(void) { return 0; }
static int has_int8(void) { return 0; }
#endif

static void multiply(int number)
{
    const double began = now();
    double products = 0;
    while (now() - began < SECONDS)
        products += int8_products();
    rates[number] = products / (now() - began) / 1e9;
}

static void *work(void *number)
{
    (reading ? read_memory : multiply)((int)(intptr_t)number);
    return NULL;
}

int main(int count, char **words)
{
    if (count != 3)
        return 2;
    reading = !strcmp(words[1], "read");
    threads = atoi(words[2]);
    if (threads < 1 || threads > 256 || (!reading && !has_int8()))
        return 1;
    if (reading) {
        if (posix_memalign((void **)&memory, 4096, BYTES))
            return 1;
        memset(memory, 1, BYTES);
    }
    pthread_t ids[256];
    for (int i = 0; i < threads; i++)
        if (pthread_create(&ids[i], NULL, work, (void *)(intptr_t)i))
            return 1;
    double total = 0;
    for (int i = 0; i < threads; i++) {
        pthread_join(ids[i], NULL);
        total += rates[i];
    }
    printf("%.2f\n", total);
    return 0;
}
