/* Runs the library on the maps of a file, on whatever platform this was compiled for: replay IN OUT
 *
 * IN and OUT are as test_platforms.py writes and reads them. On Windows edgescope.dll is loaded from beside this program;
 * elsewhere the library is linked in. */
#include "edgescope.h"

#include <stdio.h>
#include <stdlib.h>

#if defined(_WIN32)
#include <windows.h>
#define LOAD(name) __typeof__(&name) call_##name = (__typeof__(&name))(void *)GetProcAddress(library, #name)
#define CALL(name) call_##name
#else
#define LOAD(name) (void)library
#define CALL(name) name
#endif

enum { TILE = 32, OVERLAP = 8 };

typedef struct {
    int32_t height, width, has_core, unused;
    edgescope_rule rule;
} Header;

static void *get(FILE *file, size_t size, size_t count) {
    void *memory = calloc(count + 1, size);
    if (!memory || fread(memory, size, count, file) != count) exit(3);
    return memory;
}

static void put(FILE *file, const void *memory, size_t size, size_t count) {
    if (fwrite(memory, size, count, file) != count) exit(4);
}

int main(int count, char **given) {
#if defined(_WIN32)
    HMODULE library = LoadLibraryA("edgescope.dll");
    if (!library) return 5;
#else
    void *library = NULL;
#endif
    LOAD(edgescope_label);
    LOAD(edgescope_measure);
    LOAD(edgescope_tiles);
    LOAD(edgescope_intensities);
    LOAD(edgescope_scale);
    FILE *in = count == 3 ? fopen(given[1], "rb") : NULL, *out = count == 3 ? fopen(given[2], "wb") : NULL;
    if (!in || !out) return 2;
    for (Header header; fread(&header, sizeof header, 1, in) == 1;) {
        const int32_t height = header.height, width = header.width;
        const size_t size = (size_t)height * (size_t)width;
        const float *probability = get(in, sizeof(float), size);
        const float *core = header.has_core ? get(in, sizeof(float), size) : NULL;
        const uint16_t *frame = get(in, sizeof(uint16_t), size);
        int32_t *labels = calloc(size + 1, sizeof *labels);
        const int32_t found = CALL(edgescope_label)(probability, core, height, width, &header.rule, 4, labels);
        if (found < 0) return 6;
        put(out, &found, sizeof found, 1);
        put(out, labels, sizeof *labels, size);
        edgescope_object *objects = calloc((size_t)found + 1, sizeof *objects);
        if (CALL(edgescope_measure)(labels, height, width, frame, EDGESCOPE_UINT16, probability, 2, objects, found)) return 7;
        put(out, objects, sizeof *objects, (size_t)found);
        if (CALL(edgescope_measure)(labels, height, width, probability, EDGESCOPE_FLOAT32, NULL, 2, objects, found)) return 7;
        put(out, objects, sizeof *objects, (size_t)found);
        const int32_t tiles = CALL(edgescope_tiles)(width, TILE, OVERLAP, NULL, NULL);
        float *weights = calloc((size_t)tiles * TILE, sizeof *weights), *scaled = calloc(size, sizeof *scaled);
        CALL(edgescope_tiles)(width, TILE, OVERLAP, NULL, weights);
        put(out, weights, sizeof *weights, (size_t)tiles * TILE);
        double range[4];
        int32_t flags = CALL(edgescope_intensities)(frame, EDGESCOPE_UINT16, height, width, 2 * width, 1.0, 99.8, 1, range);
        CALL(edgescope_scale)(frame, EDGESCOPE_UINT16, height, width, 2 * width, range, scaled, height, width);
        put(out, range, sizeof *range, 4);
        put(out, scaled, sizeof *scaled, size);
        for (size_t i = 0; i < size; i++) scaled[i] = i / (size_t)width < 9 ? 7777.0f : (float)frame[i] * 0.37f;
        flags += 256 * CALL(edgescope_intensities)(scaled, EDGESCOPE_FLOAT32, height, width, 4 * width, 1.0, 99.8, 1, range);
        put(out, range, sizeof *range, 4);
        put(out, &flags, sizeof flags, 1);
    }
    return fclose(out) ? 4 : 0;
}
