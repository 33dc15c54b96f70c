/* Frames to tiles, and tiles to maps: counts of values, scaling, the plan of the tiles, blending.
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

/* --- counting ----------------------------------------------------------------------------------------------------- */

enum { TABLES = 4, HALF = 65536 }; /* tables are taken in turn, as adding to one count twice in a row is slow */

int32_t edgescope_count_levels(const void *frame, int32_t frame_type, int32_t height, int32_t width, int64_t stride,
                               const uint8_t *left_out, int64_t *counts) {
    const int32_t levels = frame_type == EDGESCOPE_UINT8 ? 256 : 65536;
    if (frame_type != EDGESCOPE_UINT8 && frame_type != EDGESCOPE_UINT16) return EDGESCOPE_BAD_ARGUMENT;
    if (!frame || !counts || height < 0 || width < 0) return EDGESCOPE_BAD_ARGUMENT;
    if ((int64_t)height * width > INT32_MAX) return EDGESCOPE_TOO_LARGE;
    uint32_t *table = calloc((size_t)levels * TABLES, sizeof *table);
    if (!table) return EDGESCOPE_NO_MEMORY;
    for (int32_t y = 0; y < height; y++) {
        const void *row = (const char *)frame + y * stride;
        const uint8_t *out = left_out ? left_out + (size_t)y * (size_t)width : NULL;
        if (out && levels == 256)
            for (int32_t x = 0; x < width; x++) table[((const uint8_t *)row)[x] + (x % TABLES) * 256] += !out[x];
        else if (out)
            for (int32_t x = 0; x < width; x++) table[((const uint16_t *)row)[x] + (x % TABLES) * 65536] += !out[x];
        else if (levels == 256)
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

static int32_t count_upper(const float *frame, int32_t height, int32_t width, int64_t stride, const uint8_t *left_out,
                           int64_t *counts) {
    int is_finite = 1;
    for (int32_t y = 0; y < height; y++) {
        const float *row = (const float *)(const void *)((const char *)frame + y * stride);
        const uint8_t *out = left_out ? left_out + (size_t)y * (size_t)width : NULL;
        for (int32_t x = 0; x < width; x++) {
            is_finite &= row[x] - row[x] == 0;
            counts[key_of(row[x]) >> 16] += !(out && out[x]);
        }
    }
    return is_finite ? EDGESCOPE_OK : EDGESCOPE_NOT_FINITE;
}

int32_t edgescope_count_keys(const float *frame, int32_t height, int32_t width, int64_t stride, const uint8_t *left_out,
                             const int32_t *uppers, int32_t count, int64_t *counts) {
    if (!frame || !counts || height < 0 || width < 0 || count < 0 || (count && !uppers)) return EDGESCOPE_BAD_ARGUMENT;
    if (!count) return count_upper(frame, height, width, stride, left_out, counts);
    int32_t *place = calloc(HALF, sizeof *place); /* 1 + which of the uppers */
    if (!place) return EDGESCOPE_NO_MEMORY;
    for (int32_t i = count - 1; i >= 0; i--) place[uppers[i] & (HALF - 1)] = i + 1;
    for (int32_t y = 0; y < height; y++) {
        const float *row = (const float *)(const void *)((const char *)frame + y * stride);
        const uint8_t *out = left_out ? left_out + (size_t)y * (size_t)width : NULL;
        for (int32_t x = 0; x < width; x++) {
            const uint32_t key = key_of(row[x]);
            const int32_t at = place[key >> 16];
            if (at && !(out && out[x])) counts[(size_t)(at - 1) * HALF + (key & (HALF - 1))]++;
        }
    }
    free(place);
    return EDGESCOPE_OK;
}

/* Whether values are from low to high; whole numbers are compared as such, which is faster. */
static void compare_row(const void *row, int32_t frame_type, int32_t width, double low, double high, uint8_t *hit) {
    if (frame_type == EDGESCOPE_FLOAT32) {
        for (int32_t x = 0; x < width; x++)
            hit[x] = (double)((const float *)row)[x] >= low && (double)((const float *)row)[x] <= high;
        return;
    }
    if (!(low <= high && low <= UINT16_MAX && high >= 0)) {
        memset(hit, 0, (size_t)width);
        return;
    }
    const uint16_t first = (uint16_t)(low > 0 ? ceil(low) : 0);
    const uint16_t last = (uint16_t)(high < UINT16_MAX ? floor(high) : UINT16_MAX);
    if (frame_type == EDGESCOPE_UINT8)
        for (int32_t x = 0; x < width; x++) hit[x] = (((const uint8_t *)row)[x] >= first) & (((const uint8_t *)row)[x] <= last);
    else
        for (int32_t x = 0; x < width; x++)
            hit[x] = (((const uint16_t *)row)[x] >= first) & (((const uint16_t *)row)[x] <= last);
}

int32_t edgescope_mark(const void *frame, int32_t frame_type, int32_t height, int32_t width, int64_t stride, double low,
                       double high, int32_t reach, uint8_t *marked) {
    if (!frame || !marked || height < 0 || width < 0 || reach < 0 || reach > 64) return EDGESCOPE_BAD_ARGUMENT;
    if (frame_type < EDGESCOPE_UINT8 || frame_type > EDGESCOPE_FLOAT32) return EDGESCOPE_BAD_ARGUMENT;
    const size_t length = (size_t)width;
    uint8_t *hit = calloc(length + 2 * (size_t)reach + 1, 1), *wide = malloc(length + 1);
    if (!hit || !wide) {
        free(hit), free(wide);
        return EDGESCOPE_NO_MEMORY;
    }
    for (int32_t y = 0; y < height; y++) {
        compare_row((const char *)frame + y * stride, frame_type, width, low, high, hit + reach);
        if (!memchr(hit + reach, 1, length)) continue;
        memcpy(wide, hit, length);
        for (int32_t d = 1; d <= 2 * reach; d++)
            for (int32_t x = 0; x < width; x++) wide[x] |= hit[x + d];
        const int32_t first = y > reach ? y - reach : 0, last = y + reach < height ? y + reach : height - 1;
        for (int32_t at = first; at <= last; at++) {
            uint8_t *to = marked + (size_t)at * length;
            for (int32_t x = 0; x < width; x++) to[x] |= wide[x];
        }
    }
    free(hit), free(wide);
    return EDGESCOPE_OK;
}


/* --- scaling ------------------------------------------------------------------------------------------------------ */

typedef struct {
    double zero, extent, blank, like; /* values of blank, which is NaN where there is none, are taken for like */
} Scale;

static float scaled(double value, Scale how) {
    const double share = ((value == how.blank ? how.like : value) - how.zero) / how.extent;
    const double positive = share > 0 ? share : 0;
    return (float)(positive < 1 ? positive : 1);
}

static void scale_row(const void *row, int32_t frame_type, int32_t width, Scale how, float *to) {
    if (frame_type == EDGESCOPE_UINT8)
        for (int32_t x = 0; x < width; x++) to[x] = scaled(((const uint8_t *)row)[x], how);
    else if (frame_type == EDGESCOPE_UINT16)
        for (int32_t x = 0; x < width; x++) to[x] = scaled(((const uint16_t *)row)[x], how);
    else
        for (int32_t x = 0; x < width; x++) to[x] = scaled((double)((const float *)row)[x], how);
}

/* Every level of a uint16 image between its least and its most, scaled, if that is less work than to divide for each
 * pixel; otherwise, or without memory, NULL. The result is the same. */
static float *scaled_levels(const void *frame, int32_t height, int32_t width, int64_t stride, Scale how,
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
    for (int32_t i = 0; table && i < levels; i++) table[i] = scaled(least_level + i, how);
    *least = least_level;
    return table;
}

/* A pixel beyond the end: the frame is mirrored, its last pixel twice. */
static int32_t mirrored(int32_t i, int32_t length) {
    const int32_t at = i % (2 * length);
    return at < length ? at : 2 * length - 1 - at;
}

int32_t edgescope_scale(const void *frame, int32_t frame_type, int32_t height, int32_t width, int64_t stride,
                        const double range[4], float *result, int32_t tile_height, int32_t tile_width) {
    if (!frame || !range || !result || height < 1 || width < 1 || height > tile_height || width > tile_width ||
        tile_width > INT32_MAX / 2 || tile_height > INT32_MAX / 2)
        return EDGESCOPE_BAD_ARGUMENT;
    if (frame_type < EDGESCOPE_UINT8 || frame_type > EDGESCOPE_FLOAT32) return EDGESCOPE_BAD_ARGUMENT;
    const Scale how = {range[0], range[1] - range[0], range[2], range[3]};
    const int is_flat = !(how.extent > 0 || how.extent < 0);
    uint16_t least = 0;
    float *table = NULL;
    if (frame_type == EDGESCOPE_UINT16 && !is_flat)
        table = scaled_levels(frame, height, width, stride, how, &least);
    for (int32_t y = 0; y < height; y++) {
        const void *row = (const char *)frame + y * stride;
        float *to = result + (size_t)y * (size_t)tile_width;
        if (is_flat) memset(to, 0, sizeof *to * (size_t)width);
        else if (table)
            for (int32_t x = 0; x < width; x++) to[x] = table[((const uint16_t *)row)[x] - least];
        else scale_row(row, frame_type, width, how, to);
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
