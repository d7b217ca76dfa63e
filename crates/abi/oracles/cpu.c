/* What cpu.py compiles for several processors: a loop that a compiler makes vectors of, and an atomic operation. */
#include <stdio.h>
#include <stdlib.h>

static void plain(float *to, const float *from, int count) {
    for (int at = 0; at < count; at++) to[at] = to[at] * from[at] + 1.5f;
}

#ifdef ASKING
#include <cpuid.h>

static int has_avx2(void) {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !(c & bit_FMA)) return 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_AVX2);
}

__attribute__((target("avx2,fma"))) static void fast(float *to, const float *from, int count) {
    for (int at = 0; at < count; at++) to[at] = to[at] * from[at] + 1.5f;
}
#endif

static int counter;

int main(int count, char **arguments) {
    float to[256], from[256];
    for (int at = 0; at < 256; at++) to[at] = from[at] = (float)(at + count);
#ifdef ASKING
    if (has_avx2())
        fast(to, from, 256);
    else
        plain(to, from, 256);
#else
    plain(to, from, 256);
#endif
    __atomic_fetch_add(&counter, count, __ATOMIC_SEQ_CST);
    printf("%s: %f %d\n", arguments[0] ? "ran" : "", to[100], __atomic_load_n(&counter, __ATOMIC_SEQ_CST));
    return 0;
}
