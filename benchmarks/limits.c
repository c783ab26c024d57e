/* What this machine can do at most: bytes read from memory a second, 8-bit products a second.

   limits read|int8|int8-avx2 THREADS: each thread works alone for about a second; prints the sum of
   the threads' rates, in GB/s or in 10^9 multiplications a second, by the clock, and one thread's by
   its processor time, which other jobs on the machine disturb less.  Memory is read in two ways, one
   after the other, of which the faster counts: one stream with prefetches, and eight streams without.
   Products are those of AVX-512's vpdpbusd, or of AVX2's vpmaddubsw, whose sums need further
   instructions that are not counted. */

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
#define SECONDS 0.8
#define STREAMS 8

typedef uint64_t Words __attribute__((vector_size(64)));

static char *memory;
static int threads, reading, vnni;
typedef struct {
    double by_clock, by_cpu;
} Rates;
static Rates rates[256];
static volatile uint64_t sink;

static double seconds_of(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

static double now(void) { return seconds_of(CLOCK_MONOTONIC); }
static double cpu(void) { return seconds_of(CLOCK_THREAD_CPUTIME_ID); }

static Rates rates_of(double work, double began, double cpu_began)
{
    return (Rates){work / (now() - began) / 1e9, work / (cpu() - cpu_began) / 1e9};
}

/* One pass over `share` bytes in one stream, 2 kB ahead of which memory is asked */
static Words one_stream(const char *from, size_t share)
{
    Words a = {0}, b = {0}, c = {0}, d = {0};
    for (size_t i = 0; i < share; i += 256) {
        const Words *w = (const Words *)(from + i);
        __builtin_prefetch(from + i + 2048);
        __builtin_prefetch(from + i + 2112);
        __builtin_prefetch(from + i + 2176);
        __builtin_prefetch(from + i + 2240);
        a ^= w[0], b ^= w[1], c ^= w[2], d ^= w[3];
    }
    return a ^ b ^ c ^ d;
}

/* The same bytes as eight streams side by side */
static Words many_streams(const char *from, size_t share)
{
    const size_t step = share / STREAMS / 64 * 64;
    Words sums[STREAMS] = {{0}};
    for (size_t i = 0; i < step; i += 64)
        for (int s = 0; s < STREAMS; s++)
            sums[s] ^= *(const Words *)(from + s * step + i);
    for (int s = 1; s < STREAMS; s++)
        sums[0] ^= sums[s];
    return sums[0];
}

static Rates pass_rates(Words (*pass)(const char *, size_t), const char *from, size_t share)
{
    const double began = now(), cpu_began = cpu();
    double bytes = 0;
    Words all = {0};
    while (now() - began < SECONDS / 2) {
        all ^= pass(from, share);
        bytes += share;
    }
    const Rates found = rates_of(bytes, began, cpu_began);
    sink = all[0] ^ all[1] ^ all[2] ^ all[3] ^ all[4] ^ all[5] ^ all[6] ^ all[7];
    return found;
}

static Rates better(Rates a, Rates b)
{
    return (Rates){a.by_clock > b.by_clock ? a.by_clock : b.by_clock,
                   a.by_cpu > b.by_cpu ? a.by_cpu : b.by_cpu};
}

static void read_memory(int number)
{
    const size_t share = BYTES / threads / 4096 * 4096;
    const char *from = memory + share * number;
    const Rates one = pass_rates(one_stream, from, share);
    rates[number] = better(one, pass_rates(many_streams, from, share));
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
__attribute__((target("avx2"))) static double int8_avx2_products(void)
{
    __m256i sums[12], x = _mm256_set1_epi8(1);
    for (int i = 0; i < 12; i++)
        sums[i] = _mm256_set1_epi8((char)i);
    for (int n = 0; n < 100000; n++) {
#pragma GCC unroll 12
        for (int i = 0; i < 12; i++)
            sums[i] = _mm256_maddubs_epi16(sums[i], x);
        __asm__ volatile("" : "+x"(x));
    }
    for (int i = 1; i < 12; i++)
        sums[0] = _mm256_add_epi32(sums[0], sums[i]);
    sink = (uint64_t)_mm256_extract_epi64(sums[0], 0);
    return 100000.0 * 12 * 32;
}
static int has(int vnni)
{
    __builtin_cpu_init();
    return (vnni ? __builtin_cpu_supports("avx512vnni") : __builtin_cpu_supports("avx2")) != 0;
}
#else
static double int8_products(void) { return 0; }
static double int8_avx2_products(void) { return 0; }
static int has(int vnni) { return (void)vnni, 0; }
#endif

static void multiply(int number)
{
    const double began = now(), cpu_began = cpu();
    double products = 0;
    while (now() - began < SECONDS)
        products += vnni ? int8_products() : int8_avx2_products();
    rates[number] = rates_of(products, began, cpu_began);
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
    vnni = !strcmp(words[1], "int8") && has(1);
    if (threads < 1 || threads > 256 || (!reading && !vnni && !has(0)))
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
    Rates total = {0, 0};
    for (int i = 0; i < threads; i++) {
        pthread_join(ids[i], NULL);
        total.by_clock += rates[i].by_clock;
        total.by_cpu += rates[i].by_cpu / threads;
    }
    printf("%.2f %.2f\n", total.by_clock, total.by_cpu);
    return 0;
}
