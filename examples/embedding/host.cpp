// A C++ host for the intel artefact: a raw uint16 frame in, its objects out, as `Segmenter` gives them, bit for bit.
//
//   host MODEL.xml TILE_H TILE_W OVERLAP LOW HIGH THRESHOLD CORE_THRESHOLD CORE_PROMINENCE CORE_SMOOTHING MIN_AREA
//        HEIGHT WIDTH [MAPS.f32] < frame.u16 > objects.csv
//
// The numbers are in the artefact's manifest.json: tile, overlap, normalization.low and .high, threshold, objects.
// OpenVINO runs the model, edgescope.h does the rest. MAPS.f32 receives the maps: channels x HEIGHT x WIDTH float32;
// outputs[0].meaning names the channels. docs/embedding.md has a build line.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <stdexcept>
#include <vector>

#include <edgescope.h>
#include <openvino/openvino.hpp>

struct Frame {
    std::vector<uint16_t> pixels;
    int height, width;
    int64_t stride() const { return int64_t(sizeof(uint16_t)) * width; }  // bytes
};
struct Axis { std::vector<int32_t> starts; std::vector<float> weights; };

static int32_t checked(int32_t code) {
    if (code < 0) throw std::runtime_error(edgescope_message(code));
    return code;
}

// What becomes 0 and 1, for a manifest whose normalization.method is "robust"; what is odd goes to standard error.
static std::vector<double> intensity_range(const Frame& frame, double low, double high) {
    std::vector<double> range(4);
    const int32_t flags = checked(edgescope_intensities(frame.pixels.data(), EDGESCOPE_UINT16, frame.height, frame.width,
                                                        frame.stride(), low, high, 1, range.data()));
    const char* names[] = {"padding", "debris", "inverted", "bright_field"};
    for (int i = 0; i < 4; ++i)
        if (flags >> i & 1) std::cerr << names[i] << "\n";
    return range;
}

static Axis tiles_along(int size, int tile, int overlap) {
    const int32_t count = checked(edgescope_tiles(size, tile, overlap, nullptr, nullptr));
    Axis axis{std::vector<int32_t>(count), std::vector<float>(size_t(count) * tile)};
    checked(edgescope_tiles(size, tile, overlap, axis.starts.data(), axis.weights.data()));
    return axis;
}

// Maps of the whole frame, one after the other: tile by tile through the model, blended.
static std::vector<float> run_tiles(const Frame& frame, ov::CompiledModel& model, int tile_h, int tile_w, int overlap,
                                    const std::vector<double>& range) {
    auto request = model.create_infer_request();
    ov::Tensor input(ov::element::f32, {1, 1, size_t(tile_h), size_t(tile_w)});
    request.set_input_tensor(input);
    const Axis rows = tiles_along(frame.height, tile_h, overlap), cols = tiles_along(frame.width, tile_w, overlap);
    const size_t channels = model.output().get_shape()[1], size = frame.pixels.size();
    std::vector<float> maps(channels * size);
    for (size_t i = 0; i < rows.starts.size(); ++i)
        for (size_t j = 0; j < cols.starts.size(); ++j) {
            const int top = rows.starts[i], left = cols.starts[j];
            const int height = std::min(tile_h, frame.height - top), width = std::min(tile_w, frame.width - left);
            const size_t corner = size_t(top) * frame.width + left;
            checked(edgescope_scale(frame.pixels.data() + corner, EDGESCOPE_UINT16, height, width, frame.stride(),
                                    range.data(), input.data<float>(), tile_h, tile_w));
            request.infer();
            const float* output = request.get_output_tensor().data<float>();
            // Pixels that no earlier tile has, and those that no later one has; see edgescope_blend.
            const int first_row = i ? rows.starts[i - 1] + tile_h - top : 0;
            const int first_col = j ? cols.starts[j - 1] + tile_w - left : 0;
            const int last_row = i + 1 < rows.starts.size() ? rows.starts[i + 1] - top : height;
            const int last_col = j + 1 < cols.starts.size() ? cols.starts[j + 1] - left : width;
            for (size_t c = 0; c < channels; ++c)
                checked(edgescope_blend(output + c * tile_h * tile_w, tile_w, &rows.weights[i * tile_h],
                                        &cols.weights[j * tile_w], height, width, first_row, first_col, last_row,
                                        last_col, maps.data() + c * size + corner, frame.width));
        }
    return maps;
}

static std::vector<edgescope_object> find_objects(const Frame& frame, const std::vector<float>& maps,
                                                  const edgescope_rule& rule) {
    const size_t size = frame.pixels.size();
    const float *probability = maps.data(), *core = maps.size() > size ? probability + size : nullptr;
    std::vector<int32_t> labels(size, 0);
    const int32_t count = checked(edgescope_label(probability, core, frame.height, frame.width, &rule, labels.data()));
    std::vector<edgescope_object> objects(count);
    checked(edgescope_measure(labels.data(), frame.height, frame.width, frame.pixels.data(), EDGESCOPE_UINT16,
                              probability, objects.data(), count));
    return objects;
}

static void print(const std::vector<edgescope_object>& objects) {
    std::puts("label,row,col,area,top,left,bottom,right,mean_intensity,mean_probability,perimeter,orientation,"
              "solidity");
    for (const auto& o : objects)  // 17 digits give every double back
        std::printf("%d,%.17g,%.17g,%lld,%d,%d,%d,%d,%.17g,%.17g,%.17g,%.17g,%.17g\n", o.label, o.row, o.col,
                    static_cast<long long>(o.area), o.top, o.left, o.bottom, o.right, o.mean_intensity,
                    o.mean_probability, o.perimeter, o.orientation, o.solidity);
}

static int run(int count, char** given) {
    const auto whole = [&](int i) { return std::atoi(given[i]); };
    const auto real = [&](int i) { return std::atof(given[i]); };
    const edgescope_rule rule{real(7), real(8), real(9), real(10), whole(11)};
    Frame frame{std::vector<uint16_t>(size_t(whole(12)) * whole(13)), whole(12), whole(13)};
    if (std::fread(frame.pixels.data(), sizeof(uint16_t), frame.pixels.size(), stdin) != frame.pixels.size())
        throw std::runtime_error("the frame ends early");
    ov::Core core;
    auto model = core.compile_model(given[1], "CPU", ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY),
                                    ov::hint::inference_precision(ov::element::f32));  // the manifest's hint
    const auto maps = run_tiles(frame, model, whole(2), whole(3), whole(4), intensity_range(frame, real(5), real(6)));
    if (count == 15) {
        std::FILE* file = std::fopen(given[14], "wb");
        if (!file || std::fwrite(maps.data(), sizeof(float), maps.size(), file) != maps.size() || std::fclose(file))
            throw std::runtime_error("the maps cannot be written");
    }
    print(find_objects(frame, maps, rule));
    return 0;
}

int main(int count, char** given) {
    if ((count != 14 && count != 15) || edgescope_version() != EDGESCOPE_VERSION) {
        std::fputs("usage: host MODEL.xml TILE_H TILE_W OVERLAP LOW HIGH THRESHOLD CORE_THRESHOLD CORE_PROMINENCE "
                   "CORE_SMOOTHING MIN_AREA HEIGHT WIDTH [MAPS.f32] < frame.u16 > objects.csv\n", stderr);
        return 2;
    }
    try {
        return run(count, given);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return 1;
    }
}
