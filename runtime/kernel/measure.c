/* Labels to one record for each object. Definitions are those of skimage.measure.regionprops.
 *
 * Sums over whole numbers are exact. Sums of floats are added in double, in reading order. The rest is +, -, *, / and
 * square roots of doubles, which IEEE 754 rounds alike on every processor; the angle is computed from these as well.
 */
#include "edgescope.h"
#include "prefetch.h"
#include "threads.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SIDE (1 << 20)
#define AHEAD 12 /* runs whose pixels are asked for before they are needed */
#define LEAST_RUNS 2048 /* that are worth a second thread */
#define PROBABILITY_UNIT (1.0f / (1 << 24)) /* probabilities are added as whole numbers, exactly */

typedef struct {
    int32_t y, start, stop, label; /* columns start to stop - 1 */
} Run;

/* What is added up for one object. Offsets (dy, dx) are from its first pixel, so that moments lose no digits. */
typedef struct {
    int32_t y, x, runs;
    int64_t dy, dx;
    double dydy, dydx, dxdx; /* exact under 2^53 */
    uint64_t level, level_squared;
    double first, value, value_squared; /* of float frames: values less the first one */
    double least, most;
    uint64_t probability; /* in units of PROBABILITY_UNIT */
} Sums;

typedef struct {
    int64_t of[4]; /* border pixels, see length_of */
} Lengths;

typedef struct {
    const int32_t *labels;
    int32_t height, width, count;
    const void *frame;
    int32_t frame_type;
    const float *probability;
    edgescope_object *objects;
    Sums *sums;
    Lengths *lengths;
    Run *runs;
    size_t runs_count;
    int has_perimeters, has_hulls; /* there was memory */
} Task;

/* --- runs --------------------------------------------------------------------------------------------------------- */

/* Find the next run of one label at or after column run->stop; returns whether there is one. */
static int next_run(const int32_t *row, int32_t width, Run *run) {
    int32_t x = run->stop;
    for (; x + 16 <= width; x += 16) { /* background, fast */
        int32_t any = 0;
        for (int32_t i = 0; i < 16; i++) any |= row[x + i];
        if (any) break;
    }
    while (x < width && !row[x]) x++;
    if (x == width) return 0;
    run->start = x, run->label = row[x];
    while (x < width && row[x] == run->label) x++;
    run->stop = x;
    return 1;
}

static int32_t find_runs(Task *task) {
    size_t room = 0;
    for (int32_t y = 0; y < task->height; y++) {
        const int32_t *row = task->labels + (size_t)y * (size_t)task->width;
        for (Run run = {y, 0, 0, 0}; next_run(row, task->width, &run);) {
            if (run.label < 0 || run.label > task->count) return EDGESCOPE_BAD_ARGUMENT;
            if (task->runs_count == room) {
                room = room < 1024 ? 1024 : room + room / 2;
                Run *more = realloc(task->runs, room * sizeof *more);
                if (!more) return EDGESCOPE_NO_MEMORY;
                task->runs = more;
            }
            task->runs[task->runs_count++] = run;
            task->sums[run.label - 1].runs++;
        }
    }
    return EDGESCOPE_OK;
}

/* --- sums over runs ----------------------------------------------------------------------------------------------- */

static void add_intensities(const Task *task, Sums *sums, size_t from, size_t length) {
    if (task->frame_type == EDGESCOPE_FLOAT32) {
        const float *value = (const float *)task->frame + from;
        for (size_t i = 0; i < length; i++) {
            const double more = (double)value[i] - sums->first;
            sums->value += more, sums->value_squared += more * more;
            if (value[i] < sums->least) sums->least = value[i];
            if (value[i] > sums->most) sums->most = value[i];
        }
        return;
    }
    const int is_byte = task->frame_type == EDGESCOPE_UINT8;
    uint32_t least = UINT16_MAX, most = 0;
    uint64_t sum = 0, squared = 0;
    for (size_t i = from; i < from + length; i++) {
        const uint32_t v = is_byte ? ((const uint8_t *)task->frame)[i] : ((const uint16_t *)task->frame)[i];
        sum += v, squared += (uint64_t)v * v;
        least = v < least ? v : least, most = v > most ? v : most;
    }
    sums->level += sum, sums->level_squared += squared;
    if (least < sums->least) sums->least = least;
    if (most > sums->most) sums->most = most;
}

static void add_probabilities(Sums *sums, const float *probability, size_t length) {
    uint64_t sum = 0;
    for (size_t i = 0; i < length; i++) {
        const float p = probability[i] > 0.0f ? probability[i] : 0.0f; /* also NaN */
        sum += (uint32_t)(int32_t)((p < 1.0f ? p : 1.0f) / PROBABILITY_UNIT);
    }
    sums->probability += sum;
}

static void begin_object(const Task *task, const Run *run, edgescope_object *object, Sums *sums) {
    object->label = run->label;
    object->top = run->y, object->left = run->start, object->right = run->stop;
    sums->y = run->y, sums->x = run->start;
    sums->least = INFINITY, sums->most = -INFINITY;
    if (task->frame && task->frame_type == EDGESCOPE_FLOAT32)
        sums->first = ((const float *)task->frame)[(size_t)run->y * (size_t)task->width + (size_t)run->start];
}

static void add_run(const Task *task, const Run *run) {
    edgescope_object *object = task->objects + run->label - 1;
    Sums *sums = task->sums + run->label - 1;
    if (!object->area) begin_object(task, run, object, sums);
    const int64_t n = run->stop - run->start, dy = run->y - sums->y, dx = run->start - sums->x;
    const int64_t along = n * (n - 1) / 2; /* 0 + 1 + ... + (n - 1) */
    const int64_t row_sum = n * dx + along;
    sums->dy += n * dy, sums->dx += row_sum;
    sums->dydy += (double)(n * dy * dy), sums->dydx += (double)(dy * row_sum);
    sums->dxdx += (double)(n * dx * dx + 2 * dx * along + (n - 1) * n * (2 * n - 1) / 6);
    object->area += n;
    object->bottom = run->y + 1;
    if (run->start < object->left) object->left = run->start;
    if (run->stop > object->right) object->right = run->stop;
    const size_t from = (size_t)run->y * (size_t)task->width + (size_t)run->start;
    if (task->frame) add_intensities(task, sums, from, (size_t)n);
    if (task->probability) add_probabilities(sums, task->probability + from, (size_t)n);
}

/* --- perimeter ---------------------------------------------------------------------------------------------------- */

/* Write into `border` the labels of those pixels of a row of which one of four neighbours is not of their object, and 0
 * elsewhere. */
static void mark_border(const Task *task, const Run *run, const Run *stop, int32_t *border) {
    memset(border, 0, (size_t)task->width * sizeof *border);
    for (; run < stop; run++) {
        const int32_t label = run->label, *row = task->labels + (size_t)run->y * (size_t)task->width;
        const int is_edge = run->y == 0 || run->y == task->height - 1;
        const int32_t *above = is_edge ? row : row - task->width, *below = is_edge ? row : row + task->width;
        for (int32_t x = run->start; x < run->stop; x++)
            border[x] = is_edge || above[x] != label || below[x] != label ? label : 0;
        border[run->start] = border[run->stop - 1] = label;
    }
}

/* The length of line that a border pixel stands for, by how many of its neighbours at its sides and corners are of the
 * border (Benkrid and Crookes 2000, "Design and FPGA implementation of a perimeter estimator"). */
enum { NOTHING, STRAIGHT, DIAGONAL, MIXED };
static const uint8_t length_of[5][5] = {
    {NOTHING, NOTHING, DIAGONAL, NOTHING, NOTHING},
    {NOTHING, MIXED, MIXED, DIAGONAL, NOTHING},
    {STRAIGHT, STRAIGHT, STRAIGHT, NOTHING, NOTHING},
    {STRAIGHT, STRAIGHT, STRAIGHT, NOTHING, NOTHING},
    {NOTHING, NOTHING, NOTHING, NOTHING, NOTHING},
};

static void add_border(const Task *task, const Run *run, const int32_t *above, const int32_t *border,
                       const int32_t *below) {
    const int32_t v = run->label;
    int64_t *lengths = task->lengths[v - 1].of;
    for (int32_t x = run->start; x < run->stop; x++) {
        if (!border[x]) continue;
        const int sides = (above[x] == v) + (border[x - 1] == v) + (border[x + 1] == v) + (below[x] == v);
        const int corners = (above[x - 1] == v) + (above[x + 1] == v) + (below[x - 1] == v) + (below[x + 1] == v);
        lengths[length_of[sides][corners]]++;
    }
}

static const Run *end_of_row(const Task *task, const Run *run, int32_t y) {
    while (run < task->runs + task->runs_count && run->y == y) run++;
    return run;
}

static void measure_perimeters(void *given) {
    Task *task = given;
    const size_t length = (size_t)task->width + 2; /* with a guard column at either end */
    int32_t *borders = calloc(3 * length, sizeof *borders);
    task->has_perimeters = borders != NULL;
    if (!borders) return;
    int32_t *above = borders + 1, *border = above + length, *below = border + length;
    const Run *row = task->runs, *next = end_of_row(task, row, 0);
    mark_border(task, row, next, border);
    for (int32_t y = 0; y < task->height; y++) {
        const Run *stop = end_of_row(task, next, y + 1);
        mark_border(task, next, stop, below);
        for (; row < next; row++) add_border(task, row, above, border, below);
        next = stop;
        int32_t *swap = above;
        above = border, border = below, below = swap;
    }
    free(borders);
}

/* --- convex hull -------------------------------------------------------------------------------------------------- */

typedef struct {
    int64_t y, x; /* doubled, so that the middles of a pixel's sides are whole numbers */
} Point;

static int64_t turn(Point a, Point b, Point c) { return (b.y - a.y) * (c.x - a.x) - (b.x - a.x) * (c.y - a.y); }

/* Add a point to a chain that runs down along the right side of what lies to its left (Andrew 1979). */
static int64_t add_point(Point *chain, int64_t count, Point point) {
    if (count && chain[count - 1].y == point.y) {
        if (chain[count - 1].x >= point.x) return count;
        count--;
    }
    while (count > 1 && turn(chain[count - 2], chain[count - 1], point) >= 0) count--;
    chain[count] = point;
    return count + 1;
}

static int64_t floor_divide(int64_t a, int64_t b) { return a / b - (a % b < 0); }

/* The last pixel in the row y whose centre is not right of the chain; `at` moves along the chain as y grows. */
static int64_t last_column(const Point *chain, int64_t *at, int64_t y) {
    while (chain[*at + 1].y < 2 * y) ++*at;
    const Point a = chain[*at], b = chain[*at + 1];
    return floor_divide(a.x * (b.y - a.y) + (b.x - a.x) * (2 * y - a.y), 2 * (b.y - a.y));
}

/* Add the row that ends with the pixel `last`. Of the middles of its sides, the right one may be a corner of the hull;
 * the upper one, or the lower one of the row before, only where that row ends more than a pixel away from this one. */
static int64_t add_row(Point *chain, int64_t count, Point before, Point last) {
    if (!count || before.y < last.y - 2) {
        if (count) count = add_point(chain, count, (Point){before.y + 1, before.x});
        count = add_point(chain, count, (Point){last.y - 1, last.x});
    } else if (before.x > last.x + 2 || before.x < last.x - 2)
        count = add_point(chain, count, (Point){last.y - 1, before.x > last.x ? before.x : last.x});
    return add_point(chain, count, (Point){last.y, last.x + 1});
}

/* Pixels whose centres are in the convex hull of the middles of the sides of all pixels of an object, given by its
 * runs. The left chain is mirrored, so that both are the right border of something. */
static int64_t convex_area(const Run *runs, int32_t count, Point *right, Point *left) {
    int64_t rights = 0, lefts = 0, area = 0;
    Point right_end = {0, 0}, left_end = {0, 0};
    for (int32_t i = 0, next = 0; i < count; i = next) {
        while (next < count && runs[next].y == runs[i].y) next++;
        const Point last = {2 * (int64_t)runs[i].y, 2 * (int64_t)(runs[next - 1].stop - 1)};
        const Point first = {2 * (int64_t)runs[i].y, -2 * (int64_t)runs[i].start};
        rights = add_row(right, rights, right_end, last);
        lefts = add_row(left, lefts, left_end, first);
        right_end = last, left_end = first;
    }
    add_point(right, rights, (Point){right_end.y + 1, right_end.x});
    add_point(left, lefts, (Point){left_end.y + 1, left_end.x});
    int64_t at_right = 0, at_left = 0;
    for (int64_t y = runs[0].y; y <= runs[count - 1].y; y++)
        area += last_column(right, &at_right, y) + last_column(left, &at_left, y) + 1;
    return area;
}

/* Sort the runs by object, and find the convex area of each. */
static int measure_hulls(const Task *task) {
    size_t most = 0, first = 0;
    Run *runs = malloc(sizeof *runs * (task->runs_count + 1));
    size_t *place = malloc(sizeof *place * ((size_t)task->count + 1));
    for (int32_t k = 0; place && k < task->count; k++) {
        const size_t count = (size_t)task->sums[k].runs;
        place[k] = first, first += count;
        if (count > most) most = count;
    }
    const size_t room = 3 * most + 1;
    Point *chains = malloc(sizeof *chains * 2 * room);
    const int ok = runs && place && chains;
    for (size_t i = 0; ok && i < task->runs_count; i++) runs[place[task->runs[i].label - 1]++] = task->runs[i];
    first = 0;
    for (int32_t k = 0; ok && k < task->count; k++) {
        const int32_t count = task->sums[k].runs;
        if (count) task->objects[k].convex_area = convex_area(runs + first, count, chains, chains + room);
        first += (size_t)count;
    }
    free(runs), free(place), free(chains);
    return ok;
}

/* --- sums and hulls ----------------------------------------------------------------------------------------------- */

static void measure_sums_and_hulls(void *given) {
    Task *task = given;
    const size_t bytes = task->frame_type == EDGESCOPE_FLOAT32 ? 4 : (size_t)task->frame_type;
    for (size_t i = 0; i < task->runs_count; i++) {
        if (i + AHEAD < task->runs_count) {
            const Run *next = task->runs + i + AHEAD;
            const size_t at = (size_t)next->y * (size_t)task->width + (size_t)next->start;
            const size_t length = (size_t)(next->stop - next->start);
            if (task->frame) PREFETCH_ROW((const char *)task->frame + at * bytes, length * bytes);
            if (task->probability) PREFETCH_ROW(task->probability + at, length * sizeof *task->probability);
        }
        add_run(task, task->runs + i);
    }
    task->has_hulls = measure_hulls(task);
}

/* --- from sums to measures ---------------------------------------------------------------------------------------- */

/* atan(y / x) for x >= 0, y >= 0, not both 0: the angle is halved until its series converges fast. */
static double angle_of(double y, double x) {
    if (y > x) return 1.57079632679489661923 - angle_of(x, y);
    double t = y / x, sum = 0;
    for (int i = 0; i < 3; i++) t = t / (1 + sqrt(1 + t * t));
    for (int k = 19; k > 0; k -= 2) sum = 1.0 / k - t * t * sum;
    return 8 * t * sum;
}

static void finish_shape(edgescope_object *object, const Sums *sums, const Lengths *lengths) {
    const double n = (double)object->area, dy = (double)sums->dy / n, dx = (double)sums->dx / n;
    object->row = sums->y + dy, object->col = sums->x + dx;
    const double yy = sums->dydy / n - dy * dy, xx = sums->dxdx / n - dx * dx, yx = sums->dydx / n - dy * dx;
    const double half = (yy - xx) / 2, root = sqrt(half * half + yx * yx);
    const double greater = (yy + xx) / 2 + root, less = (yy + xx) / 2 - root > 0 ? (yy + xx) / 2 - root : 0;
    object->major_axis = 4 * sqrt(greater), object->minor_axis = 4 * sqrt(less);
    object->eccentricity = greater > 0 ? sqrt(1 - less / greater) : 0;
    const double quarter = 0.78539816339744830962, y = fabs(yx), x = fabs(half);
    double angle = x > 0 ? angle_of(y, x) / 2 : quarter; /* of 2 yx and yy - xx */
    if (half < 0) angle = 2 * quarter - angle;
    object->orientation = yx > 0 || (yx == 0 && half != 0) ? angle : -angle;
    object->solidity = n / (double)object->convex_area;
    const double diagonal = sqrt(2.0);
    object->perimeter = (double)lengths->of[STRAIGHT] + diagonal * (double)lengths->of[DIAGONAL] +
                        (1 + diagonal) / 2 * (double)lengths->of[MIXED];
}

static void finish_values(const Task *task, edgescope_object *object, const Sums *sums) {
    const double n = (double)object->area;
    object->mean_probability = task->probability ? (double)sums->probability / n * (double)PROBABILITY_UNIT : NAN;
    object->mean_intensity = object->min_intensity = object->max_intensity = object->sd_intensity = NAN;
    if (!task->frame) return;
    const int is_float = task->frame_type == EDGESCOPE_FLOAT32;
    const double mean = is_float ? sums->value / n : (double)sums->level / n;
    const double squared = is_float ? sums->value_squared / n : (double)sums->level_squared / n;
    const double variance = squared - mean * mean;
    object->mean_intensity = sums->first + mean;
    object->min_intensity = sums->least, object->max_intensity = sums->most;
    object->sd_intensity = variance > 0 ? sqrt(variance) : 0;
}

int32_t edgescope_measure(const int32_t *labels, int32_t height, int32_t width, const void *frame, int32_t frame_type,
                          const float *probability, int32_t threads, edgescope_object *objects, int32_t count) {
    if (height < 0 || width < 0 || count < 0 || threads < 1 || (count && !objects)) return EDGESCOPE_BAD_ARGUMENT;
    if (frame && (frame_type < EDGESCOPE_UINT8 || frame_type > EDGESCOPE_FLOAT32)) return EDGESCOPE_BAD_ARGUMENT;
    if (height > MAX_SIDE || width > MAX_SIDE || (int64_t)(height + 2) * (width + 1) > INT32_MAX)
        return EDGESCOPE_TOO_LARGE;
    if (count) memset(objects, 0, sizeof *objects * (size_t)count);
    if (!height || !width) return EDGESCOPE_OK;
    if (!labels) return EDGESCOPE_BAD_ARGUMENT;

    Task task = {labels, height, width, count, frame, frame_type, probability, objects, NULL, NULL, NULL, 0, 0, 0};
    Work work[2] = {{measure_sums_and_hulls, &task}, {measure_perimeters, &task}};
    task.sums = calloc((size_t)count + 1, sizeof *task.sums);
    task.lengths = calloc((size_t)count + 1, sizeof *task.lengths);
    int32_t code = task.sums && task.lengths ? find_runs(&task) : EDGESCOPE_NO_MEMORY;
    if (code == EDGESCOPE_OK) {
        do_all(work, 2, threads > 1 && task.runs_count > LEAST_RUNS);
        if (!task.has_perimeters || !task.has_hulls) code = EDGESCOPE_NO_MEMORY;
    }
    for (int32_t k = 0; code == EDGESCOPE_OK && k < count; k++) {
        edgescope_object *object = objects + k;
        if (!object->area) continue;
        const int touches_a_side = object->left == 0 || object->right == width;
        object->touches_border = touches_a_side || object->top == 0 || object->bottom == height;
        finish_shape(object, task.sums + k, task.lengths + k);
        finish_values(&task, object, task.sums + k);
    }
    free(task.sums), free(task.lengths), free(task.runs);
    return code;
}
