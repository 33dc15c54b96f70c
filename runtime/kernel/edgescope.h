/* The C interface of edgescope: what a host does with a frame before and after the network.
 *
 *     edgescope_intensities                     the frame's intensity range, and what is odd about it
 *     edgescope_resize, edgescope_smooth        the frame at the size that the network works at, and its maps back
 *     edgescope_tiles, edgescope_scale          where the tiles are, and the pixels that the network takes
 *     edgescope_blend, edgescope_clip           the network's outputs become maps of the whole frame
 *     edgescope_label, edgescope_measure        the maps become labels and one record for each object
 *
 * Images are row-major without gaps, height rows of width pixels, unless a stride is given. Pixel (0, 0) is the top
 * left one. The library keeps no state: every function may be called by several threads at once. The same input gives
 * the same bits on every platform and in Python. Functions return 0 or a count, or an error, which is negative; see
 * edgescope_message.
 */
#ifndef EDGESCOPE_H
#define EDGESCOPE_H

#include <stdint.h>

#if defined(_WIN32) && defined(EDGESCOPE_BUILD)
#define EDGESCOPE_API __declspec(dllexport)
#elif defined(_WIN32)
#define EDGESCOPE_API __declspec(dllimport)
#else
#define EDGESCOPE_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define EDGESCOPE_VERSION 3 /* of this interface; a library of another version has other functions */

enum {
    EDGESCOPE_OK = 0,
    EDGESCOPE_NO_MEMORY = -1,
    EDGESCOPE_TOO_LARGE = -2,    /* a side over 2^20 pixels, or (height + 2) * (width + 1) over 2^31 - 1 */
    EDGESCOPE_BAD_ARGUMENT = -3, /* a null pointer, a negative size, a rule or a label out of its range */
    EDGESCOPE_NOT_FINITE = -4    /* a value is NaN or infinite */
};

enum { EDGESCOPE_NONE = 0, EDGESCOPE_UINT8 = 1, EDGESCOPE_UINT16 = 2, EDGESCOPE_FLOAT32 = 3 }; /* types of a frame */

/* How maps become objects; the artefact's manifest.json has these numbers ("threshold", "objects"). */
typedef struct {
    double threshold;       /* the mask is probability > threshold */
    double core_threshold;  /* with core_prominence 0: seeds are the connected parts of core > core_threshold */
    double core_prominence; /* over 0: seeds are summits that rise by this over the pass to a higher one */
    double core_smoothing;  /* standard deviation, in pixels, of the smoothing of the core map; 0 to 16 */
    int64_t min_area;       /* objects of fewer pixels are dropped */
} edgescope_rule;

/* One object. Lengths are in pixels, orientation in radians. Pixel centres have whole coordinates. */
typedef struct {
    int32_t label, touches_border;    /* touches_border: 1 if a pixel is at the frame's edge, else 0 */
    int32_t top, left, bottom, right; /* bottom and right are the first row and column beyond the object */
    int64_t area, convex_area;        /* pixels of the object; pixels whose centres are in its convex hull */
    double row, col;                  /* centroid */
    double perimeter;                 /* length of the line through the centres of its border pixels */
    double major_axis, minor_axis;    /* of the ellipse with the same second moments */
    double orientation;               /* angle between the rows' axis and the major axis, -pi/2 to pi/2 */
    double eccentricity, solidity;    /* of that ellipse, 0 is a circle; area / convex_area */
    double mean_probability;          /* NaN without a probability map */
    double mean_intensity, min_intensity, max_intensity, sd_intensity; /* of the frame; NaN without one */
} edgescope_object;

EDGESCOPE_API int32_t edgescope_version(void);
EDGESCOPE_API const char *edgescope_message(int32_t code);

/* Number the objects of a frame in the reading order of their first pixels: 1, 2, ...; 0 is background.
 * probability, core: the maps; core NULL: objects come apart where the mask has necks.
 * threads: at most so many work at the same time, this one among them; the labels are the same with any number.
 * labels: all zeros when the function is called. Returns the number of objects, or an error.
 * Needs at most 12 bytes for each pixel of the bounding box of the largest connected part, in each thread but for no
 * more than the frame's pixels in all, and 40 for each horizontal run. */
EDGESCOPE_API int32_t edgescope_label(const float *probability, const float *core, int32_t height, int32_t width,
                                      const edgescope_rule *rule, int32_t threads, int32_t *labels);

/* Measure the objects of a label image whose labels are 0 to count.
 * frame: of frame_type, or NULL; probability: or NULL; threads: see edgescope_label, up to 2 are used.
 * objects: count records, area 0 where a label does not occur. */
EDGESCOPE_API int32_t edgescope_measure(const int32_t *labels, int32_t height, int32_t width, const void *frame,
                                        int32_t frame_type, const float *probability, int32_t threads,
                                        edgescope_object *objects, int32_t count);

/* Add to counts how often each value occurs in rows of pixels of uint8 (256 counts) or uint16 (65536 counts).
 * stride: bytes from one row to the next. left_out: height x width bytes, not 0 where a pixel is not counted; or NULL. */
EDGESCOPE_API int32_t edgescope_count_levels(const void *frame, int32_t frame_type, int32_t height, int32_t width,
                                             int64_t stride, const uint8_t *left_out, int64_t *counts);

/* The same for the upper half of a 32-bit key that sorts like the float32 values: 65536 counts; EDGESCOPE_NOT_FINITE if
 * a pixel is not. With `count` uppers: for its lower half, where the upper one is uppers[i], 65536 counts for each. */
EDGESCOPE_API int32_t edgescope_count_keys(const float *frame, int32_t height, int32_t width, int64_t stride,
                                           const uint8_t *left_out, const int32_t *uppers, int32_t count,
                                           int64_t *counts);

/* Set to 1 in `marked`, height x width bytes, each pixel that is at most `reach` rows and columns (0 to 64) from one
 * whose value is from low to high. */
EDGESCOPE_API int32_t edgescope_mark(const void *frame, int32_t frame_type, int32_t height, int32_t width,
                                     int64_t stride, double low, double high, int32_t reach, uint8_t *marked);

/* What edgescope_intensities finds; see runtime/frames/flags.py. */
enum { EDGESCOPE_PADDING = 1, EDGESCOPE_DEBRIS = 2, EDGESCOPE_INVERTED = 4, EDGESCOPE_BRIGHT_FIELD = 8 };

/* The intensities of a whole frame that become 0 and 1, from the percentiles low and high of the artefact's manifest,
 * without padding and debris, and turned round where the sample is dark on a bright background; docs/embedding.md has
 * the rules. is_robust: 0 if the manifest's normalization.method is "percentile": the percentiles of all pixels. range:
 * for edgescope_scale. Returns what was found, the sum of the values above, or an error. Needs at most 2 bytes for each
 * pixel, and 10 MB. */
EDGESCOPE_API int32_t edgescope_intensities(const void *frame, int32_t frame_type, int32_t height, int32_t width,
                                            int64_t stride, double low, double high, int32_t is_robust,
                                            double range[4]);

/* Scale pixels from range[0], range[1] to 0, 1 and clip; a range without extent gives zeros. range[0] is above range[1]
 * where the image is inverted. Pixels of the value range[2], which is NaN where there is none, are taken for range[3].
 * result: tile_height x tile_width; what is beyond the given height and width is mirrored. */
EDGESCOPE_API int32_t edgescope_scale(const void *frame, int32_t frame_type, int32_t height, int32_t width,
                                      int64_t stride, const double range[4], float *result, int32_t tile_height,
                                      int32_t tile_width);

/* The tiles along an axis of `size` pixels: returns how many there are; fills starts, and the weight of each tile at
 * each of its pixels (count x tile), where these are not NULL. Along an axis the weights of all tiles at a pixel sum
 * to 1. */
EDGESCOPE_API int32_t edgescope_tiles(int32_t size, int32_t tile, int32_t overlap, int32_t *starts, float *weights);

/* Add height x width pixels of one channel of a tile, weighted by row_weights[y] * col_weights[x], to a map, tile by tile
 * in the order of rows and then columns. Strides are in pixels. EDGESCOPE_NOT_FINITE if a pixel is NaN or infinite.
 * From first_row and first_col on a pixel is in no earlier tile: it is set, so the map need not begin with zeros. Before
 * last_row and last_col it is in no later tile: it is clipped to 0, 1, as weights sum to 1 only up to rounding. That
 * spares two passes over the map. */
EDGESCOPE_API int32_t edgescope_blend(const float *output, int64_t output_stride, const float *row_weights,
                                      const float *col_weights, int32_t height, int32_t width, int32_t first_row,
                                      int32_t first_col, int32_t last_row, int32_t last_col, float *map,
                                      int64_t map_stride);

/* Clip a map to 0, 1 where one tile is the frame, and nothing is blended. EDGESCOPE_NOT_FINITE if a value is NaN, which becomes 0, or infinite. */
EDGESCOPE_API int32_t edgescope_clip(float *map, int64_t size);

/* How one axis of an image is resized, and which part of the result is made. For all of it: {old, 0, old, new, 0, new}.
 * A part is the same as that part of the whole result. */
typedef struct {
    int32_t length, start, given;      /* of the whole image; the first pixel that is given, and how many are */
    int32_t new_length, first, wanted; /* of the whole result; the first pixel that is made, and how many are */
} edgescope_axis;

/* Resize a frame or a map: area means along an axis that shrinks, linear interpolation between pixel centres along one
 * that grows. stride: bytes from one row to the next; result: rows->wanted rows of cols->wanted values without gaps.
 * EDGESCOPE_BAD_ARGUMENT if pixels are needed that are not given. */
EDGESCOPE_API int32_t edgescope_resize(const void *frame, int32_t frame_type, int64_t stride,
                                       const edgescope_axis *rows, const edgescope_axis *cols, float *result);

/* Smooth a map in place by (1, 2, 1) / 4 along both axes, `passes` times: a variance of passes / 2 square pixels. */
EDGESCOPE_API int32_t edgescope_smooth(float *map, int32_t height, int32_t width, int32_t passes);

#ifdef __cplusplus
}
#endif
#endif
