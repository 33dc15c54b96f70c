/* Probability and core maps to labels: touching objects come apart at the passes between their summits.
 *
 * The mask is taken apart into horizontal runs, and the runs into connected parts (pixels that share an edge). Each
 * part is then labelled from what lies inside it alone, so that the cut of a frame into blocks changes nothing:
 *
 *   1. Its height is the core map, in 4096 levels and smoothed by diffusion inside the part; without a core map, it is
 *      the squared distance to the background.
 *   2. Its pixels are sorted by height and flooded from the highest down. A pixel joins the basin of its highest
 *      flooded neighbour; pixels of one height are taken in order of their distance to what is flooded. A pixel
 *      without any begins a basin.
 *   3. Two basins that meet become one, unless both are objects of their own at the height where they meet: see
 *      is_object.
 *
 * That is a watershed with its seeds chosen on the way, by topological persistence (Edelsbrunner et al. 2002, doi
 * 10.1007/s00454-002-2885-2). All arithmetic is on integers. Of equal neighbours the first in the order up, left,
 * right, down counts; pixels of equal rank are taken in reading order.
 */
#include "edgescope.h"
#include "prefetch.h"
#include "threads.h"

#include <stdlib.h>
#include <string.h>

#define MAX_SIDE (1 << 20)
#define LEVELS 4095        /* a core of 1; half-levels take up the rounding of the diffusion */
#define MAX_DISTANCE 46340 /* its square is under 2^31; larger distances count as equal */
#define LEAST_SHARE 16384  /* pixels of the mask that are worth a thread of their own */
#define LEAST_BAND 262144  /* pixels of the frame that are */
#define QUEUED 0x80000000u /* in `height`: the pixel is in the queue; the other bits are the next one's position */

typedef struct {
    int32_t y, start, stop; /* columns start to stop - 1 */
    int32_t part;           /* at first the union-find parent of the run */
} Run;

typedef struct {
    int32_t by_prominence, by_distance;
    uint32_t prominence, threshold; /* in heights */
    int32_t steps;                  /* of the diffusion */
    int64_t min_area;
} Rule;

/* The part that is being labelled, on a grid of its own with a guard column and guard rows: a neighbour is always
 * there, and has height 0 outside the part. `height` and `basin` are all zeros between parts. */
typedef struct {
    uint32_t *height;
    uint32_t *basin;     /* position of the basin's summit, or of a pixel on the way to it; 0 is none */
    uint32_t *order;     /* positions, sorted */
    size_t grid, listed; /* how many there is room for */
    const Run *runs;
    const int32_t *members; /* the part's runs, in reading order */
    int32_t count, top, left, stride, rows;
    size_t pixels, cells; /* cells of the grid that is laid over this part */
    int is_dense;         /* to go over all cells is less work than to go from run to run */
} Part;

/* --- runs and connected parts ------------------------------------------------------------------------------------- */

typedef struct {
    Run *at;
    int32_t count, capacity;
} Runs;

static int add_run(Runs *runs, int32_t y, int32_t start, int32_t stop) {
    if (runs->count == runs->capacity) {
        const int32_t capacity = runs->capacity < 1024 ? 1024 : runs->capacity + runs->capacity / 2;
        Run *more = realloc(runs->at, sizeof(Run) * (size_t)capacity);
        if (!more) return 0;
        runs->at = more, runs->capacity = capacity;
    }
    runs->at[runs->count] = (Run){y, start, stop, runs->count};
    runs->count++;
    return 1;
}

static int find_runs_of_row(Runs *runs, const float *row, int32_t y, int32_t width, float threshold) {
    int32_t x = 0;
    while (x < width) {
        for (; x + 16 <= width; x += 16) { /* background, fast */
            int any = 0;
            for (int32_t i = 0; i < 16; i++) any |= row[x + i] > threshold;
            if (any) break;
        }
        while (x < width && !(row[x] > threshold)) x++;
        if (x == width) break;
        const int32_t start = x;
        while (x < width && row[x] > threshold) x++;
        if (!add_run(runs, y, start, x)) return 0;
    }
    return 1;
}

static int32_t root_of(Run *runs, int32_t i) {
    while (runs[i].part != i) i = runs[i].part = runs[runs[i].part].part;
    return i;
}

/* Join the runs of two rows, first to middle - 1 and middle to stop - 1, where they share columns. */
static void join_rows(Run *runs, int32_t first, int32_t middle, int32_t stop) {
    int32_t above = first, below = middle;
    while (above < middle && below < stop) {
        if (runs[above].start < runs[below].stop && runs[below].start < runs[above].stop) {
            const int32_t a = root_of(runs, above), b = root_of(runs, below);
            if (a < b) runs[b].part = a;
            if (b < a) runs[a].part = b;
        }
        if (runs[above].stop < runs[below].stop) above++;
        else below++;
    }
}

/* Rows whose runs one thread finds. */
typedef struct {
    const float *probability;
    int32_t first, stop, width; /* rows first to stop - 1 */
    float threshold;
    Runs runs;
    int32_t in_first, in_last; /* runs in the first row and in the last one */
    int ok;                    /* there was memory */
} Band;

static void find_runs_of_band(void *given) {
    Band *band = given;
    int32_t before = 0;
    band->ok = 1;
    for (int32_t y = band->first; band->ok && y < band->stop; y++) {
        const int32_t middle = band->runs.count;
        const float *row = band->probability + (size_t)y * (size_t)band->width;
        band->ok = find_runs_of_row(&band->runs, row, y, band->width, band->threshold);
        join_rows(band->runs.at, before, middle, band->runs.count);
        before = middle, band->in_last = band->runs.count - middle;
        if (y == band->first) band->in_first = band->in_last;
    }
}

/* Add the runs of the next band, and join those of the two rows that meet. */
static int add_band(Runs *runs, int32_t in_last, const Band *band) {
    const int32_t count = runs->count, more = band->runs.count;
    Run *all = realloc(runs->at, sizeof(Run) * ((size_t)count + (size_t)more + 1));
    if (!all) return 0;
    runs->at = all, runs->capacity = count + more + 1, runs->count = count + more;
    for (int32_t i = 0; i < more; i++) {
        all[count + i] = band->runs.at[i];
        all[count + i].part += count;
    }
    join_rows(all, count - in_last, count, count + band->in_first);
    return 1;
}

static int find_runs(Runs *runs, const float *probability, int32_t height, int32_t width, float threshold,
                     int32_t threads) {
    Band bands[MOST_THREADS];
    Work work[MOST_THREADS];
    const int32_t fit = (int32_t)((int64_t)height * width / LEAST_BAND) + 1;
    threads = fit < threads ? fit : threads;
    threads = height < threads ? height : threads;
    for (int32_t k = 0; k < threads; k++) {
        const int32_t first = (int32_t)((int64_t)height * k / threads);
        const int32_t stop = (int32_t)((int64_t)height * (k + 1) / threads);
        bands[k] = (Band){probability, first, stop, width, threshold, {0}, 0, 0, 0};
        work[k] = (Work){find_runs_of_band, bands + k};
    }
    do_all(work, threads, 1);
    int ok = bands[0].ok;
    *runs = bands[0].runs;
    for (int32_t k = 1; k < threads; k++) {
        ok = ok && bands[k].ok && add_band(runs, bands[k - 1].in_last, bands + k);
        free(bands[k].runs.at);
    }
    return ok;
}

/* Number the parts in the order of their first runs. Returns a list of all runs, part by part, or NULL. */
static int32_t *list_parts(Runs *runs) {
    int32_t parts = 0;
    for (int32_t i = 0; i < runs->count; i++) /* a root stands before all others of its part */
        runs->at[i].part = runs->at[i].part == i ? parts++ : runs->at[runs->at[i].part].part;
    int32_t *place = calloc((size_t)parts + 1, sizeof *place);
    int32_t *members = malloc(sizeof *members * ((size_t)runs->count + 1));
    if (place && members) {
        for (int32_t i = 0; i < runs->count; i++) place[runs->at[i].part + 1]++;
        for (int32_t k = 0; k < parts; k++) place[k + 1] += place[k];
        for (int32_t i = 0; i < runs->count; i++) members[place[runs->at[i].part]++] = i;
    } else {
        free(members);
        members = NULL;
    }
    free(place);
    return members;
}

/* --- the grid of a part ------------------------------------------------------------------------------------------- */

static size_t position(const Part *part, const Run *run) {
    return (size_t)(run->y - part->top + 1) * (size_t)part->stride + (size_t)(run->start - part->left);
}

static const Run *run_of(const Part *part, int32_t k) { return part->runs + part->members[k]; }

#define FOR_EACH_RUN(part, run)                                                                                        \
    for (const Run *run, **once_ = &run; once_; once_ = NULL)                                                          \
        for (int32_t k_ = 0; k_ < (part)->count && (run = run_of(part, k_), 1); k_++)

/* Lay the grid over a part's runs; its memory grows as needed. */
static int open_part(Part *part, const Run *runs, const int32_t *members, int32_t count) {
    int32_t left = runs[*members].start, right = left;
    part->runs = runs, part->members = members, part->count = count, part->pixels = 0;
    FOR_EACH_RUN (part, run) {
        if (run->start < left) left = run->start;
        if (run->stop > right) right = run->stop;
        part->pixels += (size_t)(run->stop - run->start);
    }
    part->top = run_of(part, 0)->y, part->left = left, part->stride = right - left + 1;
    part->rows = run_of(part, count - 1)->y - part->top + 1;
    const size_t grid = part->cells = (size_t)(part->rows + 2) * (size_t)part->stride;
    part->is_dense = grid < 4 * part->pixels + 64 * (size_t)count;
    const size_t listed = part->pixels > 2 * ((size_t)part->stride + 2) ? part->pixels : 2 * ((size_t)part->stride + 2);
    if (grid > part->grid) {
        free(part->height), free(part->basin);
        part->grid = grid;
        part->height = calloc(grid, sizeof *part->height), part->basin = calloc(grid, sizeof *part->basin);
    }
    if (listed > part->listed) {
        free(part->order);
        part->listed = listed;
        part->order = malloc(listed * sizeof *part->order);
    }
    return part->height && part->basin && part->order;
}

static void clear(const Part *part, uint32_t *grid) {
    if (part->is_dense) memset(grid, 0, sizeof *grid * part->cells);
    else
        FOR_EACH_RUN (part, run) memset(grid + position(part, run), 0, sizeof *grid * (size_t)(run->stop - run->start));
}

/* --- heights from the core map ------------------------------------------------------------------------------------ */

static uint16_t half_levels(float core) {
    core = core > 0.0f ? core : 0.0f; /* also NaN */
    core = core < 1.0f ? core : 1.0f;
    return (uint16_t)(2 * (int32_t)(core * (float)LEVELS + 0.5f) + 1);
}

/* How often a pixel counts itself in a step of diffusion: 8 times, less once for each neighbour in the part. */
static void count_itself(const uint16_t *restrict from, uint16_t *restrict own, size_t start, size_t stop,
                         size_t stride) {
    for (size_t i = start; i < stop; i++)
        own[i] = (uint16_t)(8 - (from[i - stride] != 0) - (from[i - 1] != 0) - (from[i + 1] != 0) -
                            (from[i + stride] != 0));
}

/* One step of diffusion (Crank 1975, eq. 8.2) at a rate of 1/8, with closed borders: to = from + (sum of differences) /
 * 8, rounded half up. Outside the part all is 0. Unsigned 16-bit sums are at most 8 * 8191 + 4. */
static void diffuse(const uint16_t *restrict from, const uint16_t *restrict own, uint16_t *restrict to, size_t start,
                    size_t stop, size_t stride) {
    for (size_t i = start; i < stop; i++) {
        const uint16_t v = from[i];
        uint16_t sum = (uint16_t)(v * own[i] + 4);
        sum = (uint16_t)(sum + from[i - stride] + from[i - 1]);
        sum = (uint16_t)(sum + from[i + 1] + from[i + stride]);
        to[i] = v ? (uint16_t)(sum >> 3) : 0;
    }
}

static void heights_from_core(Part *part, const float *core, int32_t width, int32_t steps) {
    const size_t stride = (size_t)part->stride, grid = part->cells;
    uint16_t *from = (uint16_t *)part->basin, *to = from + grid; /* both are in the memory of `basin` */
    uint16_t *own = (uint16_t *)part->height;
    FOR_EACH_RUN (part, run) {
        const float *value = core + (size_t)run->y * (size_t)width;
        uint16_t *at = from + position(part, run);
        for (int32_t x = run->start; x < run->stop; x++) *at++ = half_levels(value[x]);
    }
    if (part->is_dense) count_itself(from, own, stride, grid - stride, stride);
    else
        FOR_EACH_RUN (part, run) {
            const size_t at = position(part, run);
            count_itself(from, own, at, at + (size_t)(run->stop - run->start), stride);
        }
    for (int32_t step = 0; step < steps; step++) {
        if (part->is_dense) diffuse(from, own, to, stride, grid - stride, stride);
        else
            FOR_EACH_RUN (part, run) {
                const size_t at = position(part, run);
                diffuse(from, own, to, at, at + (size_t)(run->stop - run->start), stride);
            }
        uint16_t *swap = from;
        from = to, to = swap;
    }
    if (part->is_dense) memset(own, 0, grid * sizeof *own);
    else
        FOR_EACH_RUN (part, run) memset(own + position(part, run), 0, (size_t)(run->stop - run->start) * sizeof *own);
    FOR_EACH_RUN (part, run) {
        const size_t at = position(part, run), length = (size_t)(run->stop - run->start);
        for (size_t i = at; i < at + length; i++) part->height[i] = from[i];
        if (part->is_dense) continue;
        memset(from + at, 0, length * sizeof *from), memset(to + at, 0, length * sizeof *to);
    }
    if (part->is_dense) clear(part, part->basin);
}

/* --- heights from the distance to the background ------------------------------------------------------------------ */

/* Distances along the columns to the next pixel outside the part; beyond the frame's edge an object goes on. */
static void distances_along_columns(const Part *part, int32_t frame_height, uint32_t *distance) {
    const size_t stride = (size_t)part->stride;
    FOR_EACH_RUN (part, run) {
        const size_t at = position(part, run), length = (size_t)(run->stop - run->start);
        for (size_t i = at; i < at + length; i++) {
            const uint32_t next = distance[i - stride] + 1;
            distance[i] = run->y == 0 || next > MAX_DISTANCE ? MAX_DISTANCE : next;
        }
    }
    for (int32_t k = part->count; k-- > 0;) {
        const Run *run = run_of(part, k);
        if (run->y == frame_height - 1) continue;
        const size_t at = position(part, run), length = (size_t)(run->stop - run->start);
        for (size_t i = at; i < at + length; i++)
            if (distance[i + stride] + 1 < distance[i]) distance[i] = distance[i + stride] + 1;
    }
}

/* Squared distances from those along columns, in one row (Meijster et al. 2000, doi 10.1007/0-306-47025-X_36): at each
 * x the lowest of the parabolas (x - s)^2 + distance(s)^2. The row begins and ends with a pixel outside the part, or at
 * the frame's edge. vertex, since: room for as many parabolas as the row has pixels. */
static void distances_along_row(const uint32_t *distance, uint32_t *squared, int64_t first, int64_t last,
                                int32_t *vertex, int32_t *since) {
    int64_t count = 0;
    for (int64_t u = first; u <= last; u++) {
        const int64_t du = distance[u];
        int64_t begin = first;
        while (count) {
            const int64_t s = vertex[count - 1], ds = distance[s], t = since[count - 1];
            if ((t - s) * (t - s) + ds * ds <= (t - u) * (t - u) + du * du) {
                begin = 1 + (u * u - s * s + du * du - ds * ds) / (2 * (u - s)); /* from here on u's is the lower one */
                break;
            }
            count--;
        }
        if (begin > last) continue;
        vertex[count] = (int32_t)u, since[count] = (int32_t)begin;
        count++;
    }
    for (int64_t x = last; x >= first; x--) {
        const int64_t s = vertex[count - 1], ds = distance[s], d = (x - s) * (x - s) + ds * ds;
        if (ds || x != s)
            squared[x] = d > (int64_t)MAX_DISTANCE * MAX_DISTANCE ? MAX_DISTANCE * MAX_DISTANCE : (uint32_t)d;
        if (x == since[count - 1]) count--;
    }
}

static void heights_from_distance(Part *part, int32_t frame_height, int32_t frame_width) {
    distances_along_columns(part, frame_height, part->basin);
    int32_t *const room = (int32_t *)part->order;
    FOR_EACH_RUN (part, run) {
        const size_t row = position(part, run) - 1; /* of the pixel before the run */
        const int64_t length = run->stop - run->start;
        const int64_t first = run->start > 0 ? 0 : 1, last = run->stop < frame_width ? length + 1 : length;
        distances_along_row(part->basin + row, part->height + row, first, last, room, room + length + 2);
    }
    clear(part, part->basin);
}

/* --- flooding ----------------------------------------------------------------------------------------------------- */

#define MAX_DIGITS (1 << 13) /* as many as a core map has heights */

/* Fill `order` with the part's positions by falling height, in reading order where heights are equal (radix sort). Many
 * digits are slow to go over for a small part, and spare a large one to gather its heights from all over the grid. */
static void sort_by_height(Part *part) {
    const uint32_t bits = part->pixels >> 16 ? 13 : 7, digits = 1u << bits, last = digits - 1;
    uint32_t highest = 0, *from = part->order, *to = part->basin, *next = from, place[MAX_DIGITS + 1];
    FOR_EACH_RUN (part, run) {
        const size_t at = position(part, run), length = (size_t)(run->stop - run->start);
        for (size_t i = at; i < at + length; i++) {
            *next++ = (uint32_t)i;
            highest |= part->height[i];
        }
    }
    for (uint32_t shift = 0; shift < 32 && highest >> shift; shift += bits) {
        memset(place, 0, (digits + 1) * sizeof *place);
        for (size_t i = 0; i < part->pixels; i++) place[digits - (part->height[from[i]] >> shift & last)]++;
        for (uint32_t digit = 0; digit < digits; digit++) place[digit + 1] += place[digit];
        for (size_t i = 0; i < part->pixels; i++) to[place[last - (part->height[from[i]] >> shift & last)]++] = from[i];
        uint32_t *swap = from;
        from = to, to = swap;
    }
    if (from != part->order) memcpy(part->order, from, part->pixels * sizeof *from);
    memset(part->basin, 0, part->pixels * sizeof *part->basin);
}

/* Whether a basin is an object of its own where its water stands at `level`. What holds for a basin holds for every
 * higher one, so of two basins that meet only the lower has to be asked. */
static int is_object(const Rule *rule, uint32_t summit, uint32_t level) {
    if (rule->by_prominence) return summit - level >= rule->prominence;
    if (!rule->by_distance) return summit > rule->threshold && level <= rule->threshold;
    /* sqrt(summit) - sqrt(level) > 1, and sqrt(level) < 0.9 sqrt(summit) */
    const int64_t s = summit, l = level, excess = s - l - 1;
    return excess > 0 && excess * excess > 4 * l && 100 * l < 81 * s;
}

static uint32_t summit_of(uint32_t *basin, uint32_t i) {
    while (basin[i] != i) i = basin[i] = basin[basin[i]];
    return i;
}

static void meet(Part *part, const Rule *rule, uint32_t one, uint32_t other, uint32_t level) {
    const uint32_t a = summit_of(part->basin, one), b = summit_of(part->basin, other);
    if (a == b) return;
    const int a_is_lower = part->height[a] < part->height[b] || (part->height[a] == part->height[b] && a > b);
    const uint32_t lower = a_is_lower ? a : b;
    if (!is_object(rule, part->height[lower], level)) part->basin[lower] = a_is_lower ? b : a;
}

/* A queue of pixels of one height: each holds the position of the next in place of that height. */
typedef struct {
    uint32_t head, tail;
} Queue;

static void push(Queue *queue, uint32_t *height, uint32_t i) {
    if (queue->head) height[queue->tail] = QUEUED | i;
    else queue->head = i;
    queue->tail = i;
    height[i] = QUEUED;
}

/* Take the pixels from the queue, add their neighbours of the same height, and let basins meet. */
static void spread(Part *part, const Rule *rule, Queue *queue, uint32_t level) {
    const uint32_t stride = (uint32_t)part->stride, steps[4] = {0u - stride, 0u - 1u, 1u, stride};
    uint32_t *height = part->height, *basin = part->basin;
    while (queue->head) {
        const uint32_t pixel = queue->head;
        queue->head = height[pixel] & ~QUEUED;
        height[pixel] = level;
        int others = 0; /* without branches, as most pixels have nothing to do */
        for (int k = 0; k < 4; k++)
            others |= (height[pixel + steps[k]] >= level) & (basin[pixel + steps[k]] != basin[pixel]);
        for (int k = 0; others && k < 4; k++) {
            const uint32_t near = pixel + steps[k];
            if (height[near] < level) continue;
            if (!basin[near]) {
                basin[near] = basin[pixel];
                push(queue, height, near);
            } else if (basin[near] != basin[pixel]) meet(part, rule, pixel, near, level);
        }
    }
}

/* Where the order of heights leads to is all over the grid; a large part's grid is not in the processor's cache. */
static void prefetch_neighbours(const Part *part, size_t i) {
    const size_t ahead = 16, stride = (size_t)part->stride;
    if (part->cells < 1 << 16 || i + ahead >= part->pixels) return;
    const uint32_t *height = part->height + part->order[i + ahead], *basin = part->basin + part->order[i + ahead];
    PREFETCH(height - stride), PREFETCH(height), PREFETCH(height + stride);
    PREFETCH(basin - stride), PREFETCH(basin), PREFETCH(basin + stride);
}

/* Flood a pixel whose height no other one has, as most in a small part: nothing spreads, and nothing is queued. */
static void flood_alone(Part *part, const Rule *rule, uint32_t pixel, uint32_t level) {
    const uint32_t stride = (uint32_t)part->stride, steps[4] = {0u - stride, 0u - 1u, 1u, stride};
    uint32_t *height = part->height, *basin = part->basin;
    uint64_t best = 0; /* height, then rank of the direction: their maximum needs no branches, which would be guessed */
    for (uint32_t k = 0; k < 4; k++) {
        const uint64_t rank = (uint64_t)height[pixel + steps[k]] << 2 | (3 - k);
        best = rank > best ? rank : best;
    }
    basin[pixel] = pixel;
    if (best >> 2 < level) return;
    basin[pixel] = summit_of(basin, pixel + steps[3 - (best & 3)]);
    for (int k = 0; k < 4; k++) {
        const uint32_t near = pixel + steps[k];
        if (height[near] > level && basin[near] != basin[pixel]) meet(part, rule, pixel, near, level);
    }
}

static void flood(Part *part, const Rule *rule) {
    const uint32_t stride = (uint32_t)part->stride, steps[4] = {0u - stride, 0u - 1u, 1u, stride};
    uint32_t *height = part->height, *basin = part->basin;
    Queue queue = {0, 0};
    for (size_t first = 0, i = 0; i < part->pixels; first = i) {
        const uint32_t level = height[part->order[first]];
        if (i + 1 == part->pixels || height[part->order[i + 1]] != level) {
            prefetch_neighbours(part, i);
            flood_alone(part, rule, part->order[i++], level);
            continue;
        }
        for (; i < part->pixels && height[part->order[i]] == level; i++) {
            const uint32_t pixel = part->order[i];
            uint32_t best = 0, highest = level;
            prefetch_neighbours(part, i);
            for (int k = 0; k < 4; k++) {
                const uint32_t near = height[pixel + steps[k]];
                if (near > highest && near < QUEUED) highest = near, best = pixel + steps[k];
            }
            if (!best) continue;
            basin[pixel] = summit_of(basin, best);
            push(&queue, height, pixel);
        }
        spread(part, rule, &queue, level);
        for (size_t j = first; j < i; j++) {
            const uint32_t pixel = part->order[j];
            if (basin[pixel]) continue;
            basin[pixel] = pixel;
            push(&queue, height, pixel);
            spread(part, rule, &queue, level);
        }
    }
}

/* Write the part's objects into the label image, numbered on from `count`; returns the last number. Clears the grid. */
static int32_t write_labels(Part *part, int64_t min_area, int32_t *labels, int32_t width, int32_t count) {
    uint32_t *area = part->height, *basin = part->basin; /* of each object, at its summit */
    clear(part, area);
    FOR_EACH_RUN (part, run) {
        const size_t at = position(part, run), stop = at + (size_t)(run->stop - run->start);
        for (size_t i = at; i < stop; i++) area[basin[i] = summit_of(basin, (uint32_t)i)]++;
    }
    FOR_EACH_RUN (part, run) {
        int32_t *label = labels + (size_t)run->y * (size_t)width;
        const uint32_t *summit = basin + position(part, run);
        for (int32_t x = run->start; x < run->stop; x++) {
            uint32_t *number = area + *summit++;
            if (!(*number & QUEUED)) *number = QUEUED | (*number >= min_area ? (uint32_t)++count : 0);
            label[x] = (int32_t)(*number & ~QUEUED);
        }
    }
    clear(part, part->height), clear(part, part->basin);
    return count;
}

/* --- the whole frame ---------------------------------------------------------------------------------------------- */

typedef struct {
    const float *core;
    int32_t height, width;
    const Rule *rule;
    Runs runs;
    int32_t *members; /* all runs, part by part */
    int32_t *labels;
} Frame;

/* The parts that one thread labels, one after the other: those of the members first to stop - 1. */
typedef struct {
    const Frame *frame;
    int32_t first, stop, first_part;
    int32_t count; /* of objects; they are numbered from 1 in each share */
    int ok;        /* there was memory */
} Share;

/* Where the runs of the part end whose first one is the member `first`. */
static int32_t end_of_part(const Frame *frame, int32_t first) {
    const Run *runs = frame->runs.at;
    int32_t stop = first;
    while (stop < frame->runs.count && runs[frame->members[stop]].part == runs[frame->members[first]].part) stop++;
    return stop;
}

static void prefetch_part(const Frame *frame, int32_t first, int32_t stop) {
    for (int32_t i = first; i < stop; i++) {
        const Run *run = frame->runs.at + frame->members[i];
        const size_t at = (size_t)run->y * (size_t)frame->width + (size_t)run->start;
        const size_t length = (size_t)(run->stop - run->start);
        if (frame->core) PREFETCH_ROW(frame->core + at, length * sizeof *frame->core);
        PREFETCH_ROW(frame->labels + at, length * sizeof *frame->labels);
    }
}

static void label_share(void *given) {
    Share *share = given;
    const Frame *frame = share->frame;
    const Rule *rule = frame->rule;
    Part part = {0};
    share->ok = 1;
    for (int32_t first = share->first, stop, next; share->ok && first < share->stop; first = stop) {
        stop = end_of_part(frame, first), next = stop < share->stop ? end_of_part(frame, stop) : stop;
        prefetch_part(frame, stop, next);
        share->ok = open_part(&part, frame->runs.at, frame->members + first, stop - first);
        if (!share->ok || (int64_t)part.pixels < rule->min_area) continue;
        if (frame->core) heights_from_core(&part, frame->core, frame->width, rule->steps);
        else heights_from_distance(&part, frame->height, frame->width);
        sort_by_height(&part);
        flood(&part, rule);
        share->count = write_labels(&part, rule->min_area, frame->labels, frame->width, share->count);
    }
    free(part.height), free(part.basin), free(part.order);
}

/* The pixels of all parts, and the cells of the largest part's bounding box. */
static int64_t measure_parts(const Frame *frame, int64_t *largest) {
    int64_t pixels = 0;
    *largest = 0;
    for (int32_t first = 0, stop; first < frame->runs.count; first = stop) {
        int32_t left = frame->width, right = 0;
        stop = end_of_part(frame, first);
        for (int32_t i = first; i < stop; i++) {
            const Run *run = frame->runs.at + frame->members[i];
            left = run->start < left ? run->start : left, right = run->stop > right ? run->stop : right;
            pixels += run->stop - run->start;
        }
        const Run *runs = frame->runs.at;
        const int64_t rows = runs[frame->members[stop - 1]].y - runs[frame->members[first]].y + 1;
        if (rows * (right - left) > *largest) *largest = rows * (right - left);
    }
    return pixels;
}

/* Share the parts out, so that all have about as many pixels. As each thread has a grid of its own, there are only as
 * many as large parts fit the frame: their grids need no more memory together than one for the frame. */
static int32_t share_out(const Frame *frame, int32_t threads, Share *shares) {
    int64_t largest, pixels = 0, total = 0;
    if (threads > 1) {
        total = measure_parts(frame, &largest);
        const int64_t fit = total ? (int64_t)frame->height * frame->width / largest : 1;
        threads = fit < threads ? (int32_t)fit : threads;
        threads = total / LEAST_SHARE + 1 < threads ? (int32_t)(total / LEAST_SHARE + 1) : threads;
    }
    int32_t count = 0;
    shares[0] = (Share){frame, 0, frame->runs.count, 0, 0, 0};
    for (int32_t first = 0, stop; threads > 1 && first < frame->runs.count; first = stop) {
        stop = end_of_part(frame, first);
        for (int32_t i = first; i < stop; i++) {
            const Run *run = frame->runs.at + frame->members[i];
            pixels += run->stop - run->start;
        }
        if (stop == frame->runs.count || count + 1 == threads || pixels * threads < total * (count + 1)) continue;
        shares[count].stop = stop;
        shares[++count] = (Share){frame, stop, frame->runs.count, frame->runs.at[frame->members[stop]].part, 0, 0};
    }
    return count + 1;
}

/* Number anew in the reading order of the objects' first pixels; until here, those of one part follow each other. */
static int32_t number_in_reading_order(const Frame *frame, const Share *shares, int32_t threads) {
    int32_t before_share[MOST_THREADS], count = 0, last = 0;
    for (int32_t k = 0; k < threads; k++) before_share[k] = count, count += shares[k].count;
    int32_t *numbers = calloc((size_t)count + 1, sizeof *numbers);
    if (!numbers) return EDGESCOPE_NO_MEMORY;
    for (int32_t i = 0; i < frame->runs.count; i++) {
        const Run *run = frame->runs.at + i, *ahead = i + 16 < frame->runs.count ? run + 16 : run;
        PREFETCH_ROW(frame->labels + (size_t)ahead->y * (size_t)frame->width + ahead->start,
                     sizeof *frame->labels * (size_t)(ahead->stop - ahead->start));
        int32_t share = threads - 1;
        while (run->part < shares[share].first_part) share--;
        int32_t *row = frame->labels + (size_t)run->y * (size_t)frame->width;
        int32_t *number = numbers + before_share[share], before = 0, after = 0;
        for (int32_t x = run->start; x < run->stop; x++) {
            if (row[x] != before) {
                before = row[x];
                if (before && !number[before]) number[before] = ++last;
                after = before ? number[before] : 0;
            }
            row[x] = after;
        }
    }
    free(numbers);
    return count;
}

static int is_within(double value, double least, double most) { return value >= least && value <= most; }

static int read_rule(const edgescope_rule *given, int has_core, Rule *rule) {
    if (!is_within(given->core_threshold, 0, 1) || !is_within(given->core_prominence, 0, 1) ||
        !is_within(given->core_smoothing, 0, 16) || given->min_area < 0)
        return 0;
    const int32_t steps = (int32_t)(4 * given->core_smoothing * given->core_smoothing + 0.5);
    const int32_t prominence = (int32_t)(2 * LEVELS * given->core_prominence + 0.5);
    rule->by_distance = !has_core;
    rule->by_prominence = has_core && given->core_prominence > 0;
    rule->prominence = prominence < 1 ? 1 : (uint32_t)prominence;
    rule->threshold = half_levels((float)given->core_threshold);
    rule->steps = given->core_smoothing > 0 && steps < 1 ? 1 : steps; /* variance 2 * rate * steps */
    rule->min_area = given->min_area;
    return 1;
}

int32_t edgescope_label(const float *probability, const float *core, int32_t height, int32_t width,
                        const edgescope_rule *given, int32_t threads, int32_t *labels) {
    Rule rule;
    if (height < 0 || width < 0 || !given || !read_rule(given, core != NULL, &rule)) return EDGESCOPE_BAD_ARGUMENT;
    if (threads < 1) return EDGESCOPE_BAD_ARGUMENT;
    if (height > MAX_SIDE || width > MAX_SIDE || (int64_t)(height + 2) * (width + 1) > INT32_MAX)
        return EDGESCOPE_TOO_LARGE;
    if (!height || !width) return 0;
    if (!probability || !labels) return EDGESCOPE_BAD_ARGUMENT;

    Frame frame = {core, height, width, &rule, {0}, NULL, labels};
    int32_t count = EDGESCOPE_NO_MEMORY;
    threads = threads < MOST_THREADS ? threads : MOST_THREADS;
    if (find_runs(&frame.runs, probability, height, width, (float)given->threshold, threads) &&
        (frame.members = list_parts(&frame.runs))) {
        Share shares[MOST_THREADS];
        Work work[MOST_THREADS];
        int ok = 1;
        threads = share_out(&frame, threads, shares);
        for (int32_t k = 0; k < threads; k++) work[k] = (Work){label_share, shares + k};
        do_all(work, threads, 1);
        for (int32_t k = 0; k < threads; k++) ok = ok && shares[k].ok;
        if (ok) count = number_in_reading_order(&frame, shares, threads);
    }
    free(frame.runs.at), free(frame.members);
    return count;
}
