/* Which intensities of a frame become 0 and 1, and what is odd about them.
 *
 * runtime/frames/intensities.py has the rules, in words and in Python; both give the same bits. Here for hosts without
 * Python, and for whole frames only.
 */
#include "edgescope.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LEAST_SIDE = 32, EDGE_RUN = 16, MIXED = 2, GLOW = 3, STEPS = 13, NOISE = 5, HALF = 65536 };
enum { MOST_PERCENTS = 3 + STEPS, MOST_RANKS = 2 * MOST_PERCENTS };
static const double EDGE_SHARE = 0.05, PADDED_SHARE = 0.6, ROUNDNESS = 1.5;
static const double TOP = 3.0, STEP = 0.8, GAP = 1.6, REST_SHARE = 0.3, CONTRAST = 25.0, WORTH = 1.25;
static const double BRIGHT = 0.6, SURE = 0.85, BACKGROUND = 25;

typedef struct {
    const void *frame;
    int32_t type, height, width;
    int64_t stride;
    uint8_t *left_out; /* or NULL */
} Picture;

static double pixel(const Picture *picture, int32_t y, int32_t x) {
    const void *row = (const char *)picture->frame + y * picture->stride;
    if (picture->type == EDGESCOPE_UINT8) return ((const uint8_t *)row)[x];
    if (picture->type == EDGESCOPE_UINT16) return ((const uint16_t *)row)[x];
    return (double)((const float *)row)[x];
}

/* --- percentiles --- */

static int32_t bin_at(const int64_t *counts, int32_t bins, int64_t rank, int64_t *before) {
    int64_t below = 0;
    for (int32_t bin = 0; bin < bins; bin++) {
        if (below + counts[bin] > rank) {
            *before = below;
            return bin;
        }
        below += counts[bin];
    }
    *before = below;
    return bins - 1;
}

static double value_of(uint32_t key) {
    const uint32_t bits = key >> 31 ? key & 0x7fffffffu : ~key;
    float value;
    memcpy(&value, &bits, sizeof value);
    return (double)value;
}

/* Values of float32 at sorted ranks, by the lower halves of the keys whose upper halves are known. */
static int32_t float_values(const Picture *picture, const int64_t *upper, const int64_t *ranks, int32_t count,
                            double *values) {
    int32_t uppers[MOST_RANKS], of[MOST_RANKS], different = 0;
    int64_t before[MOST_RANKS];
    for (int32_t i = 0; i < count; i++) {
        const int32_t half = bin_at(upper, HALF, ranks[i], &before[i]);
        for (of[i] = 0; of[i] < different && uppers[of[i]] != half;) of[i]++;
        if (of[i] == different) uppers[different++] = half;
    }
    int64_t *lower = calloc((size_t)different * HALF, sizeof *lower), unused;
    if (!lower) return EDGESCOPE_NO_MEMORY;
    const int32_t code = edgescope_count_keys(picture->frame, picture->height, picture->width, picture->stride,
                                              picture->left_out, uppers, different, lower);
    for (int32_t i = 0; i < count && !code; i++) {
        const uint32_t half = (uint32_t)bin_at(lower + (size_t)of[i] * HALF, HALF, ranks[i] - before[i], &unused);
        values[i] = value_of((uint32_t)uppers[of[i]] << 16 | half);
    }
    free(lower);
    return code;
}

/* The values at percentiles of the pixels that are not left out; between two ranks in numpy's order of operations. */
static int32_t percentiles(const Picture *picture, const double *percents, int32_t count, int64_t *size,
                           double *values) {
    const int32_t bins = picture->type == EDGESCOPE_UINT8 ? 256 : HALF;
    int64_t *counts = calloc((size_t)bins, sizeof *counts), ranks[MOST_RANKS], unused;
    double parts[MOST_PERCENTS], near[MOST_RANKS] = {0};
    if (!counts) return EDGESCOPE_NO_MEMORY;
    int32_t code = picture->type == EDGESCOPE_FLOAT32
                       ? edgescope_count_keys(picture->frame, picture->height, picture->width, picture->stride,
                                              picture->left_out, NULL, 0, counts)
                       : edgescope_count_levels(picture->frame, picture->type, picture->height, picture->width,
                                                picture->stride, picture->left_out, counts);
    *size = 0;
    for (int32_t bin = 0; bin < bins; bin++) *size += counts[bin];
    for (int32_t i = 0; i < count && *size; i++) {
        const double position = (double)(*size - 1) * (percents[i] / 100);
        const int64_t rank = (int64_t)position < *size - 1 ? (int64_t)position : *size - 1;
        ranks[2 * i] = rank, ranks[2 * i + 1] = rank + 1 < *size ? rank + 1 : rank;
        parts[i] = position - (double)rank;
    }
    if (*size && !code && picture->type == EDGESCOPE_FLOAT32)
        code = float_values(picture, counts, ranks, 2 * count, near);
    else if (*size && !code)
        for (int32_t i = 0; i < 2 * count; i++) near[i] = bin_at(counts, bins, ranks[i], &unused);
    for (int32_t i = 0; i < count; i++) {
        const double a = near[2 * i], b = near[2 * i + 1], part = *size ? parts[i] : 0;
        values[i] = part >= 0.5 ? b - (b - a) * (1 - part) : a + (b - a) * part;
    }
    free(counts);
    return code;
}

/* --- padding --- */

static int32_t leave_out(Picture *picture, double low, double high, int32_t reach) {
    return edgescope_mark(picture->frame, picture->type, picture->height, picture->width, picture->stride, low, high,
                          reach, picture->left_out);
}

static int64_t counted(const Picture *picture) {
    const size_t size = (size_t)picture->height * (size_t)picture->width;
    int64_t sum = 0;
    for (size_t i = 0; i < size; i++) sum += !picture->left_out[i];
    return sum;
}

/* The edge pixel number i, from the upper left corner and around. */
static double edge_pixel(const Picture *picture, int32_t i) {
    const int32_t height = picture->height, width = picture->width;
    if (i < width - 1) return pixel(picture, 0, i);
    if ((i -= width - 1) < height - 1) return pixel(picture, i, width - 1);
    if ((i -= height - 1) < width - 1) return pixel(picture, height - 1, width - 1 - i);
    return pixel(picture, height - 1 - (i - (width - 1)), 0);
}

/* Whether a level is along enough of the edge, and in long enough runs; along: how many pixels of the edge have it. */
static int is_along(const Picture *picture, double level, int64_t *along) {
    const int32_t length = 2 * (picture->height - 1) + 2 * (picture->width - 1);
    int64_t runs = 0;
    int was = edge_pixel(picture, length - 1) == level;
    *along = 0;
    for (int32_t i = 0; i < length; i++) {
        const int is = edge_pixel(picture, i) == level;
        *along += is, runs += is && !was, was = is;
    }
    return !((double)*along < EDGE_SHARE * length || *along < EDGE_RUN * runs);
}

/* 1, and the level in `blank`, if the frame is padded; then left_out has the padding. 0 if it is not. */
static int32_t find_padding(Picture *picture, double *blank) {
    const int32_t bottom = picture->height - 1, right = picture->width - 1;
    const int64_t size = (int64_t)picture->height * picture->width;
    const double corners[4] = {pixel(picture, 0, 0), pixel(picture, 0, right), pixel(picture, bottom, right),
                               pixel(picture, bottom, 0)};
    for (int32_t i = 0; i < 4; i++) {
        int64_t along;
        int is_new = 1;
        for (int32_t j = 0; j < i; j++) is_new &= corners[j] != corners[i];
        if (!is_new || !is_along(picture, corners[i], &along)) continue;
        memset(picture->left_out, 0, (size_t)size);
        int32_t code = leave_out(picture, corners[i], corners[i], 0);
        const int64_t others = counted(picture);
        if (!code) code = leave_out(picture, corners[i], corners[i], 1);
        const int64_t apart = counted(picture);
        if (!code) code = leave_out(picture, corners[i], corners[i], MIXED);
        const int64_t far = counted(picture);
        if (code) return code;
        /* A border of n pixels has n beside it and 2 n within 2; a lone pixel of the sample, 8 and 24, and so no share. */
        const int64_t edge = 2 * (int64_t)(picture->height - 1) + 2 * (int64_t)(picture->width - 1);
        const double outline = (double)(3 * (others - apart) - (others - far) + edge - along);
        const double sides = (double)(picture->height + picture->width);
        const int is_compact =
            outline * outline * picture->height * picture->width <= 4 * ROUNDNESS * (double)others * sides * sides;
        if ((double)(size - far) <= PADDED_SHARE * (double)size && is_compact) {
            *blank = corners[i];
            return 1;
        }
    }
    memset(picture->left_out, 0, (size_t)size);
    return 0;
}

/* --- debris --- */

/* The level where debris would begin, or NaN. */
static double gap(double low, const double *ladder) {
    double most = GAP, start = NAN;
    for (int32_t i = 0; i + 2 < STEPS; i++) {
        const double below = ladder[i] - low, above = ladder[i + 2] - low;
        if (below > 0 && above >= most * below) {
            most = above / below;
            start = low + sqrt(below * above);
        }
    }
    return start;
}

/* Whether the range is many times the noise; values: low, median, high, and percentiles from the dark end. */
static int is_picture(const double *values) {
    for (int32_t i = 3; i < 3 + NOISE; i++)
        if (values[i] > values[0]) return values[2] - values[0] >= CONTRAST * (values[i] - values[0]);
    return 0;
}

static int32_t leave_debris_out(Picture *picture, double low, double high, int64_t size, double start, double *found) {
    const double percents[3 + NOISE] = {low, 50, high, 5, 25, 50, 75, 90};
    const size_t pixels = (size_t)picture->height * (size_t)picture->width;
    double values[3 + NOISE];
    int64_t rest;
    Picture without = *picture;
    without.left_out = malloc(pixels);
    if (!without.left_out) return EDGESCOPE_NO_MEMORY;
    memcpy(without.left_out, picture->left_out, pixels);
    int32_t code = leave_out(&without, start, INFINITY, GLOW);
    if (!code) code = percentiles(&without, percents, 3 + NOISE, &rest, values);
    const int is_debris = !code && (double)rest >= REST_SHARE * (double)size && is_picture(values) &&
                          found[2] - found[0] > WORTH * (values[2] - values[0]);
    if (is_debris) {
        memcpy(picture->left_out, without.left_out, pixels);
        memcpy(found, values, 3 * sizeof *found);
    }
    free(without.left_out);
    return code ? code : is_debris;
}

/* --- the rules --- */

static int32_t look(Picture *picture, double low, double high, double range[4]) {
    double percents[MOST_PERCENTS] = {low, 50, high}, values[MOST_PERCENTS], top = TOP;
    int64_t size;
    int32_t flags = 0, code;
    if ((code = find_padding(picture, &range[2])) < 0) return code;
    flags |= code ? EDGESCOPE_PADDING : 0;
    for (int32_t i = 0; i < STEPS; i++, top *= STEP) percents[3 + i] = 100.0 - top;
    if ((code = percentiles(picture, percents, MOST_PERCENTS, &size, values)) < 0) return code;
    const double start = gap(values[0], values + 3);
    if (!isnan(start)) {
        if ((code = leave_debris_out(picture, low, high, size, start, values)) < 0) return code;
        flags |= code ? EDGESCOPE_DEBRIS : 0;
    }
    const double extent = values[2] - values[0], place = values[2] > values[0] ? (values[1] - values[0]) / extent : 0;
    double ends[3] = {low, high, BACKGROUND};
    if (place >= SURE && values[1] < values[2]) {
        flags |= EDGESCOPE_INVERTED;
        for (int32_t i = 0; i < 3; i++) ends[i] = 100.0 - ends[i];
    } else if (place >= BRIGHT) flags |= EDGESCOPE_BRIGHT_FIELD;
    range[0] = values[0], range[1] = values[2];
    if (!(flags & (EDGESCOPE_PADDING | EDGESCOPE_INVERTED))) return flags;
    if ((code = percentiles(picture, ends, 3, &size, values)) < 0) return code;
    range[0] = values[0], range[1] = values[1];
    if (flags & EDGESCOPE_PADDING) range[3] = values[2];
    return flags;
}

int32_t edgescope_intensities(const void *frame, int32_t frame_type, int32_t height, int32_t width, int64_t stride,
                              double low, double high, int32_t is_robust, double range[4]) {
    if (!frame || !range || height < 1 || width < 1 || !(low >= 0 && low <= high && high <= 100))
        return EDGESCOPE_BAD_ARGUMENT;
    if (frame_type < EDGESCOPE_UINT8 || frame_type > EDGESCOPE_FLOAT32) return EDGESCOPE_BAD_ARGUMENT;
    if ((int64_t)height * width > INT32_MAX) return EDGESCOPE_TOO_LARGE;
    Picture picture = {frame, frame_type, height, width, stride, NULL};
    range[2] = NAN, range[3] = 0;
    if (!is_robust || height < LEAST_SIDE || width < LEAST_SIDE) {
        const double percents[2] = {low, high};
        int64_t size;
        return percentiles(&picture, percents, 2, &size, range);
    }
    picture.left_out = calloc((size_t)height * (size_t)width, 1);
    if (!picture.left_out) return EDGESCOPE_NO_MEMORY;
    const int32_t code = look(&picture, low, high, range);
    free(picture.left_out);
    return code;
}
