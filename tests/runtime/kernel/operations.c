/* Count the steps of edgescope_label on one part of a shape: operations SHAPE CORE SIDE prints the steps and the part's
 * pixels. The library is compiled with -fsanitize-coverage=trace-pc, which calls the counter in each basic block, and
 * with memset and memcpy replaced, whose steps are blocks of 64 bytes. */
#include "edgescope.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int64_t steps;

void __sanitizer_cov_trace_pc(void) { steps++; }

void *counted_memset(void *to, int value, size_t bytes) {
    steps += (int64_t)(bytes / 64);
    return memset(to, value, bytes);
}

void *counted_memcpy(void *to, const void *from, size_t bytes) {
    steps += (int64_t)(bytes / 64);
    return memcpy(to, from, bytes);
}

static int is_inside(const char *shape, int y, int x) {
    if (!strcmp(shape, "comb")) return y == 0 || x % 2 == 0;
    if (!strcmp(shape, "wide comb")) return y == 0 || x % 4 == 0;
    if (!strcmp(shape, "shelves")) return x == 0 || y % 2 == 0;
    if (!strcmp(shape, "diagonal")) return x - y >= 0 && x - y < 3;
    return strcmp(shape, "nothing") != 0;
}

static float core_at(const char *core, int y, int x, int side, uint32_t *random) {
    *random = *random * 1664525u + 1013904223u;
    if (!strcmp(core, "noise")) return (float)(*random >> 8) / 16777216.0f;
    if (!strcmp(core, "ramp")) return (float)(x + y) / (2.0f * (float)side);
    if (!strcmp(core, "hills")) return 0.5f + 0.5f * sinf((float)x / 3.0f) * sinf((float)y / 3.0f);
    return 0.5f;
}

int main(int count, char **arguments) {
    if (count != 4) return 2;
    const char *shape = arguments[1], *core = arguments[2];
    const int side = atoi(arguments[3]);
    const size_t size = (size_t)side * (size_t)side;
    float *probability = calloc(size, sizeof *probability), *cores = calloc(size, sizeof *cores);
    int32_t *labels = calloc(size, sizeof *labels);
    uint32_t random = 1;
    int64_t pixels = 0;
    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++) {
            const size_t at = (size_t)y * (size_t)side + (size_t)x;
            probability[at] = (float)is_inside(shape, y, x);
            pixels += is_inside(shape, y, x);
            cores[at] = core_at(core, y, x, side, &random);
        }
    const edgescope_rule rule = {0.5, 0.5, 0.1, 1.6, 30};
    const int32_t result = edgescope_label(probability, strcmp(core, "none") ? cores : NULL, side, side, &rule, 1, labels);
    printf("%lld %lld\n", (long long)steps, (long long)pixels);
    return result < 0;
}
