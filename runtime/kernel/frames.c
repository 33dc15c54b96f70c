/* Frames to tiles, and tiles to maps: intensity range, scaling, the plan of the tiles, blending.
 *
 * Intensities are scaled in double: float would lose a weak signal on a high offset.
 */
#include "edgescope.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int32_t edgescope_version(void) { return EDGESCOPE_VERSION; }

const char *edgescope_message(int32_t code) {
    switch (code) {
        case EDGESCOPE_NO_MEMORY: return "there is not enough memory";
        case EDGESCOPE_TOO_LARGE:
            return "the frame is too large: it has a side over 2^20 pixels, or about 2^31 pixels in all";
        case EDGESCOPE_BAD_ARGUMENT: return "an argument is out of its range";
        case EDGESCOPE_NOT_FINITE: return "a value is NaN or infinite";
        default: return code < 0 ? "unknown error" : "no error";
    }
}

/* --- intensity range ---------------------------------------------------------------------------------------------- */

enum { TABLES = 4 }; /* taken in turn, as adding to one count twice in a row is slow */

int32_t edgescope_count_levels(const void *frame, int32_t frame_type, int32_t height, int32_t width, int64_t stride,
                               int64_t *counts) {
    const int32_t levels = frame_type == EDGESCOPE_UINT8 ? 256 : 65536;
    if (frame_type != EDGESCOPE_UINT8 && frame_type != EDGESCOPE_UINT16) return EDGESCOPE_BAD_ARGUMENT;
    if (!frame || !counts || height < 0 || width < 0) return EDGESCOPE_BAD_ARGUMENT;
    if ((int64_t)height * width > INT32_MAX) return EDGESCOPE_TOO_LARGE;
    uint32_t *table = calloc((size_t)levels * TABLES, sizeof *table);
    if (!table) return EDGESCOPE_NO_MEMORY;
    for (int32_t y = 0; y < height; y++) {
        const void *row = (const char *)frame + y * stride;
        if (levels == 256)
            for (int32_t x = 0; x < width; x++) table[((const uint8_t *)row)[x] + (x % TABLES) * 256]++;
        else
            for (int32_t x = 0; x < width; x++) table[((const uint16_t *)row)[x] + (x % TABLES) * 65536]++;
    }
    for (int32_t i = 0; i < levels * TABLES; i++) counts[i % levels] += table[i];
    free(table);
    return EDGESCOPE_OK;
}

/* Floats have the order of their bits, but for the sign: negative ones run backwards, below the others. */
static uint32_t key_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}

int32_t edgescope_count_keys(const float *frame, int32_t height, int32_t width, int64_t stride, int32_t shift,
                             uint32_t upper, int64_t *counts) {
    if (!frame || !counts || height < 0 || width < 0 || (shift != 0 && shift != 16)) return EDGESCOPE_BAD_ARGUMENT;
    int is_finite = 1;
    for (int32_t y = 0; y < height; y++) {
        const float *row = (const float *)(const void *)((const char *)frame + y * stride);
        for (int32_t x = 0; x < width; x++) {
            const uint32_t key = key_of(row[x]);
            if (shift == 16) {
                is_finite &= row[x] - row[x] == 0;
                counts[key >> 16]++;
            } else if (key >> 16 == upper) counts[key & 65535]++;
        }
    }
    return is_finite ? EDGESCOPE_OK : EDGESCOPE_NOT_FINITE;
}

static double value_at(const int64_t *counts, int32_t levels, int64_t rank) {
    int64_t below = 0;
    for (int32_t level = 0; level < levels; level++)
        if ((below += counts[level]) > rank) return level;
    return levels - 1;
}

/* The value at a percentile, between the two nearest ranks, in numpy's order of operations. */
static double percentile(const int64_t *counts, int32_t levels, int64_t size, double percent) {
    const double position = (double)(size - 1) * (percent / 100);
    const int64_t rank = (int64_t)position < size - 1 ? (int64_t)position : size - 1;
    const double part = position - (double)rank;
    const double a = value_at(counts, levels, rank), b = value_at(counts, levels, rank + 1 < size ? rank + 1 : rank);
    return part >= 0.5 ? b - (b - a) * (1 - part) : a + (b - a) * part;
}

int32_t edgescope_range(const int64_t *counts, int32_t levels, double low, double high, double range[2]) {
    if (!counts || !range || levels < 1 || !(low >= 0 && low <= high && high <= 100)) return EDGESCOPE_BAD_ARGUMENT;
    int64_t size = 0;
    for (int32_t level = 0; level < levels; level++) size += counts[level];
    if (size < 1) return EDGESCOPE_BAD_ARGUMENT;
    range[0] = percentile(counts, levels, size, low), range[1] = percentile(counts, levels, size, high);
    return EDGESCOPE_OK;
}

/* --- scaling ------------------------------------------------------------------------------------------------------ */

static float scaled(double value, double low, double extent) {
    const double share = (value - low) / extent, positive = share > 0 ? share : 0;
    return (float)(positive < 1 ? positive : 1);
}

static void scale_row(const void *row, int32_t frame_type, int32_t width, double low, double extent, float *to) {
    if (frame_type == EDGESCOPE_UINT8)
        for (int32_t x = 0; x < width; x++) to[x] = scaled(((const uint8_t *)row)[x], low, extent);
    else if (frame_type == EDGESCOPE_UINT16)
        for (int32_t x = 0; x < width; x++) to[x] = scaled(((const uint16_t *)row)[x], low, extent);
    else
        for (int32_t x = 0; x < width; x++) to[x] = scaled((double)((const float *)row)[x], low, extent);
}

/* Every level of a uint16 image between its least and its most, scaled, if that is less work than to divide for each
 * pixel; otherwise, or without memory, NULL. The result is the same. */
static float *scaled_levels(const void *frame, int32_t height, int32_t width, int64_t stride, double low, double extent,
                            uint16_t *least) {
    uint16_t least_level = UINT16_MAX, most_level = 0;
    for (int32_t y = 0; y < height; y++) {
        const uint16_t *row = (const uint16_t *)(const void *)((const char *)frame + y * stride);
        for (int32_t x = 0; x < width; x++) {
            least_level = row[x] < least_level ? row[x] : least_level;
            most_level = row[x] > most_level ? row[x] : most_level;
        }
    }
    const int32_t levels = most_level - least_level + 1;
    if (levels > (int64_t)height * width / 2) return NULL;
    float *table = malloc(sizeof *table * (size_t)levels);
    for (int32_t i = 0; table && i < levels; i++) table[i] = scaled(least_level + i, low, extent);
    *least = least_level;
    return table;
}

/* A pixel beyond the end: the frame is mirrored, its last pixel twice. */
static int32_t mirrored(int32_t i, int32_t length) {
    const int32_t at = i % (2 * length);
    return at < length ? at : 2 * length - 1 - at;
}

int32_t edgescope_scale(const void *frame, int32_t frame_type, int32_t height, int32_t width, int64_t stride,
                        const double range[2], float *result, int32_t tile_height, int32_t tile_width) {
    if (!frame || !range || !result || height < 1 || width < 1 || height > tile_height || width > tile_width ||
        tile_width > INT32_MAX / 2 || tile_height > INT32_MAX / 2)
        return EDGESCOPE_BAD_ARGUMENT;
    if (frame_type < EDGESCOPE_UINT8 || frame_type > EDGESCOPE_FLOAT32) return EDGESCOPE_BAD_ARGUMENT;
    const double low = range[0], extent = range[1] > range[0] ? range[1] - range[0] : 0;
    uint16_t least = 0;
    float *table = NULL;
    if (frame_type == EDGESCOPE_UINT16 && extent > 0)
        table = scaled_levels(frame, height, width, stride, low, extent, &least);
    for (int32_t y = 0; y < height; y++) {
        const void *row = (const char *)frame + y * stride;
        float *to = result + (size_t)y * (size_t)tile_width;
        if (!(extent > 0)) memset(to, 0, sizeof *to * (size_t)width);
        else if (table)
            for (int32_t x = 0; x < width; x++) to[x] = table[((const uint16_t *)row)[x] - least];
        else scale_row(row, frame_type, width, low, extent, to);
        for (int32_t x = width; x < tile_width; x++) to[x] = to[mirrored(x, width)];
    }
    for (int32_t y = height; y < tile_height; y++)
        memcpy(result + (size_t)y * (size_t)tile_width, result + (size_t)mirrored(y, height) * (size_t)tile_width,
               sizeof *result * (size_t)tile_width);
    free(table);
    return EDGESCOPE_OK;
}

/* --- tiles -------------------------------------------------------------------------------------------------------- */

/* The series of the sine, 0 to pi / 2: libraries differ in its last bit. */
static double sine(double x) {
    double sum = 0;
    for (int k = 23; k >= 1; k -= 2) sum = 1 - x * x / ((k + 1) * (k + 2)) * sum;
    return x * sum;
}

/* A tile's window: 1 inside, and a squared sine down to almost 0 over the overlap; never 0. */
static double window_at(int32_t i, int32_t tile, int32_t overlap) {
    const double inside = (i < tile - 1 - i ? i : tile - 1 - i) + 0.5, share = inside / (overlap > 1 ? overlap : 1);
    if (share >= 1) return 1;
    const double value = sine(1.57079632679489661923 * share);
    return value * value;
}

/* Where a tile begins: evenly spaced, halves to even. */
static int32_t start_of(int32_t i, int32_t steps, int32_t size, int32_t tile) {
    if (!steps) return 0;
    const int64_t distance = (int64_t)i * (size - tile), whole = distance / steps, rest = distance % steps;
    return (int32_t)(whole + (2 * rest > steps || (2 * rest == steps && whole % 2)));
}

int32_t edgescope_tiles(int32_t size, int32_t tile, int32_t overlap, int32_t *starts, float *weights) {
    if (size < 1 || tile < 1 || overlap < 0 || overlap >= tile) return EDGESCOPE_BAD_ARGUMENT;
    const int32_t step = tile - overlap, steps = size > tile ? (size - tile - 1) / step + 1 : 0;
    for (int32_t i = 0; starts && i <= steps; i++) starts[i] = start_of(i, steps, size, tile);
    if (!weights) return steps + 1;
    double *total = calloc((size_t)size, sizeof *total);
    if (!total) return EDGESCOPE_NO_MEMORY;
    for (int32_t i = 0; i <= steps; i++)
        for (int32_t x = 0, at = start_of(i, steps, size, tile); x < tile && at + x < size; x++)
            total[at + x] += window_at(x, tile, overlap);
    for (int32_t i = 0; i <= steps; i++) {
        float *weight = weights + (size_t)i * (size_t)tile;
        const int32_t at = start_of(i, steps, size, tile);
        for (int32_t x = 0; x < tile; x++)
            weight[x] = at + x < size ? (float)(window_at(x, tile, overlap) / total[at + x]) : 0;
    }
    free(total);
    return steps + 1;
}

static float clipped(float value) {
    const float positive = value > 0 ? value : 0;
    return positive < 1 ? positive : 1;
}

static int is_bad(float value) { return value - value != 0; }

/* Part of a row of edgescope_blend; is_first and is_last are constants where it is called. */
static inline int blend_pixels(const float *restrict output, float row_weight, const float *restrict col_weights,
                               float *restrict map, int32_t start, int32_t stop, int is_first, int is_last) {
    int any_bad = 0;
    for (int32_t x = start; x < stop; x++) {
        const float weighted = output[x] * (row_weight * col_weights[x]), sum = is_first ? weighted : map[x] + weighted;
        map[x] = is_last ? clipped(sum) : sum;
        any_bad |= is_bad(output[x]);
    }
    return any_bad;
}

static int32_t at_most(int32_t value, int32_t most) { return value < most ? value : most; }

int32_t edgescope_blend(const float *output, int64_t output_stride, const float *row_weights, const float *col_weights,
                        int32_t height, int32_t width, int32_t first_row, int32_t first_col, int32_t last_row,
                        int32_t last_col, float *map, int64_t map_stride) {
    if (!output || !row_weights || !col_weights || !map || height < 0 || width < 0) return EDGESCOPE_BAD_ARGUMENT;
    if (first_row < 0 || first_col < 0 || last_row < 0 || last_col < 0) return EDGESCOPE_BAD_ARGUMENT;
    int any_bad = 0;
    for (int32_t y = 0; y < height; y++, output += output_stride, map += map_stride) {
        const int32_t first = y < first_row ? width : at_most(first_col, width); /* columns from here on are set */
        const int32_t last = y < last_row ? at_most(last_col, width) : 0;        /* columns before it are clipped */
        const int32_t low = at_most(first, last);
        const float weight = row_weights[y];
        any_bad |= blend_pixels(output, weight, col_weights, map, 0, low, 0, 1);
        any_bad |= blend_pixels(output, weight, col_weights, map, low, first, 0, 0);
        any_bad |= blend_pixels(output, weight, col_weights, map, low, last, 1, 1);
        any_bad |= blend_pixels(output, weight, col_weights, map, first > last ? first : last, width, 1, 0);
    }
    return any_bad ? EDGESCOPE_NOT_FINITE : EDGESCOPE_OK;
}

int32_t edgescope_clip(float *map, int64_t size) {
    if (!map || size < 0) return EDGESCOPE_BAD_ARGUMENT;
    int any_bad = 0;
    for (int64_t i = 0; i < size; i++) {
        any_bad |= is_bad(map[i]);
        map[i] = clipped(map[i]);
    }
    return any_bad ? EDGESCOPE_NOT_FINITE : EDGESCOPE_OK;
}
