// A C++ host for the intel artefact: a raw uint16 frame in, the model's probability maps out, as `Segmenter` gives them.
//
//   host MODEL.xml TILE_H TILE_W OVERLAP LOW HIGH HEIGHT WIDTH < frame.u16 > maps.f32
//
// The numbers stand in the artefact's manifest.json: tile, overlap, normalization.low and .high. The output is
// channels x HEIGHT x WIDTH float32; outputs[0].meaning names the channels, and the mask is foreground > threshold.
// docs/embedding.md has the formulas, and a build line.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include <openvino/openvino.hpp>

struct Range { double low, high; };

// The value at a percentile of all pixels, between the two nearest ranks, from a histogram.
static double percentile(const std::vector<int64_t>& counts, int64_t size, double percent) {
    const double position = (size - 1) * (percent / 100);
    const int64_t below = std::min<int64_t>(static_cast<int64_t>(std::floor(position)), size - 1);
    const double part = position - below;
    auto value_at = [&](int64_t rank) {
        int64_t upto = 0;
        for (size_t value = 0; value < counts.size(); ++value)
            if ((upto += counts[value]) > rank) return static_cast<double>(value);
        return static_cast<double>(counts.size() - 1);
    };
    const double a = value_at(below), b = value_at(std::min<int64_t>(below + 1, size - 1));
    return part >= 0.5 ? b - (b - a) * (1 - part) : a + (b - a) * part;
}

static Range intensity_range(const std::vector<uint16_t>& frame, double low, double high) {
    std::vector<int64_t> counts(65536, 0);
    for (uint16_t value : frame) ++counts[value];
    const int64_t size = static_cast<int64_t>(frame.size());
    return {percentile(counts, size, low), percentile(counts, size, high)};
}

// In double, as float would lose a weak signal on a high offset. A constant frame is all zeros.
static float scale(uint16_t value, Range range) {
    if (range.high <= range.low) return 0.0f;
    return static_cast<float>(std::clamp((value - range.low) / (range.high - range.low), 0.0, 1.0));
}

// Where tiles begin along an axis: evenly spaced, the last ends at the edge. nearbyint rounds halves to even.
static std::vector<int> origins(int size, int tile, int overlap) {
    const int steps = std::max(0, static_cast<int>(std::ceil(double(size - tile) / (tile - overlap))));
    std::vector<int> starts;
    for (int i = 0; i <= steps; ++i)
        starts.push_back(steps ? static_cast<int>(std::nearbyint(double(i) * (size - tile) / steps)) : 0);
    return starts;
}

// Each tile's weight at each of its pixels along an axis; all tiles' weights at a pixel sum to 1.
static std::vector<std::vector<float>> weights(int size, int tile, int overlap, const std::vector<int>& starts) {
    std::vector<double> window(tile), total(size, 0.0);
    for (int i = 0; i < tile; ++i) {
        const double inside = std::min(i, tile - 1 - i) + 0.5;
        window[i] = std::pow(std::sin(M_PI / 2 * std::min(1.0, inside / std::max(overlap, 1))), 2);
    }
    for (int start : starts)
        for (int i = 0; i < tile && start + i < size; ++i) total[start + i] += window[i];
    std::vector<std::vector<float>> result;
    for (int start : starts) {
        result.emplace_back();
        for (int i = 0; i < tile && start + i < size; ++i)
            result.back().push_back(static_cast<float>(window[i] / total[start + i]));
    }
    return result;
}

// A pixel beyond the end of a frame that is smaller than the tile: the frame is mirrored, its last pixel twice.
static int mirrored(int i, int have) {
    const int at = i % (2 * have);
    return at < have ? at : 2 * have - 1 - at;
}

int main(int count, char** given) {
    if (count != 9) {
        std::fputs("usage: host MODEL.xml TILE_H TILE_W OVERLAP LOW HIGH HEIGHT WIDTH < frame.u16 > maps.f32\n", stderr);
        return 2;
    }
    const int tile_h = std::atoi(given[2]), tile_w = std::atoi(given[3]), overlap = std::atoi(given[4]);
    const double low = std::atof(given[5]), high = std::atof(given[6]);
    const int height = std::atoi(given[7]), width = std::atoi(given[8]);
    std::vector<uint16_t> frame(size_t(height) * width);
    if (std::fread(frame.data(), sizeof(uint16_t), frame.size(), stdin) != frame.size()) {
        std::fputs("the frame ends early\n", stderr);
        return 2;
    }

    ov::Core core;
    auto model = core.compile_model(given[1], "CPU",
                                    ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY),
                                    ov::hint::inference_precision(ov::element::f32));  // the manifest's hint
    auto request = model.create_infer_request();
    ov::Tensor input(ov::element::f32, {1, 1, size_t(tile_h), size_t(tile_w)});

    const Range range = intensity_range(frame, low, high);
    const auto rows = origins(height, tile_h, overlap), cols = origins(width, tile_w, overlap);
    const auto row_weights = weights(height, tile_h, overlap, rows), col_weights = weights(width, tile_w, overlap, cols);
    const size_t channels = model.output().get_shape()[1];
    std::vector<float> maps(channels * frame.size(), 0.0f);
    for (size_t i = 0; i < rows.size(); ++i)
        for (size_t j = 0; j < cols.size(); ++j) {
            const int h = static_cast<int>(row_weights[i].size()), w = static_cast<int>(col_weights[j].size());
            float* pixel = input.data<float>();
            for (int y = 0; y < tile_h; ++y)
                for (int x = 0; x < tile_w; ++x) {
                    const size_t row = rows[i] + mirrored(y, h), col = cols[j] + mirrored(x, w);
                    *pixel++ = scale(frame[row * width + col], range);
                }
            request.set_input_tensor(input);
            request.infer();
            const float* output = request.get_output_tensor().data<float>();
            for (size_t c = 0; c < channels; ++c)
                for (int y = 0; y < h; ++y)
                    for (int x = 0; x < w; ++x)
                        maps[(c * height + rows[i] + y) * width + cols[j] + x] +=
                            output[(c * tile_h + y) * tile_w + x] * (row_weights[i][y] * col_weights[j][x]);
        }
    for (float& value : maps) value = std::clamp(value, 0.0f, 1.0f);
    std::fwrite(maps.data(), sizeof(float), maps.size(), stdout);
    return 0;
}
