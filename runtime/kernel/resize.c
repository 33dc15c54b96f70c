/* Images on another grid over the same area: area means to shrink, linear interpolation to enlarge.
 *
 * Pixels are little squares with their values at the centres, so that the image's corners stay where they are. Shrinking
 * averages the area that a new pixel covers; enlarging interpolates between the centres, and beyond the outermost ones
 * their values go on. Rows that shrink are summed first, rows that grow are mixed last; in float, in the order of the
 * pixels.
 */
#include "edgescope.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_SIDE = 1 << 20 };

/* What a new pixel of an axis is made of: `count` pixels from `start` on, times the weights from `first` on. */
typedef struct {
    int32_t start, count;
    int64_t first;
} Taps;

static double smaller(double a, double b) { return a < b ? a : b; }
static double larger(double a, double b) { return a > b ? a : b; }

static int32_t shrink_taps(Taps *taps, float *weights, int32_t have, int32_t size, int32_t i) {
    const double step = (double)have / size, low = i * step, high = smaller((i + 1) * step, have);
    taps->start = (int32_t)low;
    taps->count = 0;
    for (int32_t at = taps->start; at < have && (at < high || !taps->count); at++)
        weights[taps->count++] = (float)((smaller(at + 1, high) - larger(at, low)) / step);
    return taps->count;
}

static int32_t enlarge_taps(Taps *taps, float *weights, int32_t have, int32_t size, int32_t i) {
    const double centre = larger(0, smaller((i + 0.5) * ((double)have / size) - 0.5, have - 1));
    taps->start = (int32_t)centre;
    taps->count = taps->start + 1 < have ? 2 : 1;
    weights[0] = 1, weights[1] = 0;
    if (taps->count == 2) weights[1] = (float)(centre - taps->start), weights[0] = 1 - weights[1];
    return 2;
}

/* The taps of the new pixels that are wanted of an axis; an error without memory, or without the pixels. */
static int32_t plan_axis(const edgescope_axis *axis, Taps **taps, float **weights) {
    const int is_shrunk = axis->new_length < axis->length;
    const int64_t each = is_shrunk ? axis->length / axis->new_length + 3 : 2;
    *taps = malloc(sizeof **taps * (size_t)axis->wanted);
    *weights = malloc(sizeof **weights * (size_t)(each * axis->wanted));
    if (!*taps || !*weights) return EDGESCOPE_NO_MEMORY;
    int64_t next = 0;
    for (int32_t i = 0; i < axis->wanted; i++) {
        Taps *const mine = *taps + i;
        mine->first = next;
        next += (is_shrunk ? shrink_taps : enlarge_taps)(mine, *weights + next, axis->length, axis->new_length,
                                                         axis->first + i);
        mine->start -= axis->start;
        if (mine->start < 0 || mine->start + mine->count > axis->given) return EDGESCOPE_BAD_ARGUMENT;
    }
    return EDGESCOPE_OK;
}

static int32_t check_axis(const edgescope_axis *a) {
    if (!a || a->length < 1 || a->start < 0 || a->given < 1 || a->given > a->length - a->start ||
        a->new_length < 1 || a->first < 0 || a->wanted < 1 || a->wanted > a->new_length - a->first)
        return EDGESCOPE_BAD_ARGUMENT;
    return a->length > MAX_SIDE || a->new_length > MAX_SIDE ? EDGESCOPE_TOO_LARGE : EDGESCOPE_OK;
}

static void add_row(float *line, const void *row, int32_t frame_type, int32_t width, float weight, int is_first) {
    if (is_first) memset(line, 0, sizeof *line * (size_t)width);
    if (frame_type == EDGESCOPE_UINT8)
        for (int32_t x = 0; x < width; x++) line[x] += weight * (float)((const uint8_t *)row)[x];
    else if (frame_type == EDGESCOPE_UINT16)
        for (int32_t x = 0; x < width; x++) line[x] += weight * (float)((const uint16_t *)row)[x];
    else
        for (int32_t x = 0; x < width; x++) line[x] += weight * ((const float *)row)[x];
}

static void sum_columns(const float *line, const Taps *taps, const float *weights, int32_t width, float *to) {
    for (int32_t x = 0; x < width; x++) {
        const float *from = line + taps[x].start, *weight = weights + taps[x].first;
        float sum = 0;
        for (int32_t k = 0; k < taps[x].count; k++) sum += weight[k] * from[k];
        to[x] = sum;
    }
}

typedef struct {
    const void *frame;
    int32_t frame_type, width, new_width;
    int64_t stride;
    const Taps *rows, *cols;
    const float *row_weights, *col_weights;
    float *line; /* `width` values */
} Resizing;

static const void *row_of(const Resizing *r, int32_t y) { return (const char *)r->frame + y * r->stride; }

/* Rows shrink: those of the frame are summed, and then resized. */
static void shrink_rows(const Resizing *r, int32_t new_height, float *result) {
    for (int32_t y = 0; y < new_height; y++) {
        const Taps *const taps = r->rows + y;
        for (int32_t k = 0; k < taps->count; k++)
            add_row(r->line, row_of(r, taps->start + k), r->frame_type, r->width, r->row_weights[taps->first + k], !k);
        sum_columns(r->line, r->cols, r->col_weights, r->new_width, result + (int64_t)y * r->new_width);
    }
}

/* Rows grow: those of the frame are resized, each once, and then mixed. resized: two rows of new_width values. */
static void enlarge_rows(const Resizing *r, int32_t new_height, float *resized, float *result) {
    int32_t next = new_height ? r->rows[0].start : 0; /* the next row to resize; row i is in the half i % 2 */
    for (int32_t y = 0; y < new_height; y++) {
        const Taps *const taps = r->rows + y;
        for (; next < taps->start + taps->count; next++) {
            add_row(r->line, row_of(r, next), r->frame_type, r->width, 1, 1);
            sum_columns(r->line, r->cols, r->col_weights, r->new_width, resized + (size_t)(next % 2) * (size_t)r->new_width);
        }
        const float *const upper = resized + (size_t)(taps->start % 2) * (size_t)r->new_width;
        const float *const lower = resized + (size_t)((taps->start + taps->count - 1) % 2) * (size_t)r->new_width;
        const float a = r->row_weights[taps->first], b = r->row_weights[taps->first + 1];
        float *const to = result + (int64_t)y * r->new_width;
        for (int32_t x = 0; x < r->new_width; x++) to[x] = a * upper[x] + b * lower[x];
    }
}

int32_t edgescope_resize(const void *frame, int32_t frame_type, int64_t stride, const edgescope_axis *rows,
                         const edgescope_axis *cols, float *result) {
    if (!frame || !result || frame_type < EDGESCOPE_UINT8 || frame_type > EDGESCOPE_FLOAT32)
        return EDGESCOPE_BAD_ARGUMENT;
    int32_t code = check_axis(rows);
    if (code || (code = check_axis(cols))) return code;
    Taps *row_taps = NULL, *col_taps = NULL;
    float *row_weights = NULL, *col_weights = NULL, *line = malloc(sizeof *line * (size_t)cols->given);
    float *resized = malloc(sizeof *resized * 2 * (size_t)cols->wanted);
    code = line && resized ? EDGESCOPE_OK : EDGESCOPE_NO_MEMORY;
    if (!code) code = plan_axis(rows, &row_taps, &row_weights);
    if (!code) code = plan_axis(cols, &col_taps, &col_weights);
    const Resizing r = {frame,    frame_type,  cols->given, cols->wanted, stride, row_taps,
                        col_taps, row_weights, col_weights, line};
    if (!code && rows->new_length < rows->length) shrink_rows(&r, rows->wanted, result);
    else if (!code) enlarge_rows(&r, rows->wanted, resized, result);
    free(line), free(resized), free(row_taps), free(col_taps), free(row_weights), free(col_weights);
    return code;
}

/* (a + 2 b + c) / 4 along a row; its ends are repeated. */
static void smooth_row(float *row, int32_t width) {
    float before = row[0];
    for (int32_t x = 0; x < width; x++) {
        const float here = row[x], after = x + 1 < width ? row[x + 1] : here;
        row[x] = (before + 2 * here + after) * 0.25f;
        before = here;
    }
}

int32_t edgescope_smooth(float *map, int32_t height, int32_t width, int32_t passes) {
    if (height < 0 || width < 0 || passes < 0 || (height && width && !map)) return EDGESCOPE_BAD_ARGUMENT;
    if (!height || !width) return EDGESCOPE_OK;
    float *before = malloc(sizeof *before * (size_t)width);
    if (!before) return EDGESCOPE_NO_MEMORY;
    for (int32_t pass = 0; pass < passes; pass++) {
        memcpy(before, map, sizeof *before * (size_t)width);
        for (int32_t y = 0; y < height; y++) {
            float *row = map + (int64_t)y * width;
            const float *below = y + 1 < height ? row + width : row;
            for (int32_t x = 0; x < width; x++) {
                const float here = row[x];
                row[x] = (before[x] + 2 * here + (y + 1 < height ? below[x] : here)) * 0.25f;
                before[x] = here;
            }
            smooth_row(row, width); /* what is above is not read any more: `before` has it as it was */
        }
    }
    free(before);
    return EDGESCOPE_OK;
}
