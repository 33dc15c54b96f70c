// A C++ host for the intel artefact: a raw uint16 frame in, its objects out, as `Segmenter` gives them, bit for bit.
//
//   host ARTIFACT HEIGHT WIDTH [MAPS.f32] < frame.u16 > objects.csv
//
// ARTIFACT is a folder. Its checksums are compared, and its probes replayed, before the frame is segmented. OpenVINO runs
// the model, artifact.hpp reads the folder, edgescope.h does the rest. The frame is segmented at the size it has, as by
// diameter="off". MAPS.f32 receives the maps: channels x HEIGHT x WIDTH float32; outputs[0].meaning of the manifest
// names the channels. docs/embedding.md has a build line.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <stdexcept>
#include <vector>

#include <edgescope.h>
#include <openvino/openvino.hpp>

#include "artifact.hpp"

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

// What becomes 0 and 1; what is odd about the frame goes to standard error.
static std::vector<double> intensity_range(const Frame& frame, const Json& how) {
    std::vector<double> range(4);
    const double low = how.number("low"), high = how.number("high");
    const int32_t is_robust = how["method"].text == "robust";
    const int32_t flags = checked(edgescope_intensities(frame.pixels.data(), EDGESCOPE_UINT16, frame.height, frame.width,
                                                        frame.stride(), low, high, is_robust, range.data()));
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
    const int32_t count = checked(edgescope_label(probability, core, frame.height, frame.width, &rule, 1, labels.data()));
    std::vector<edgescope_object> objects(count);
    checked(edgescope_measure(labels.data(), frame.height, frame.width, frame.pixels.data(), EDGESCOPE_UINT16,
                              probability, 1, objects.data(), count));
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

static ov::CompiledModel open_model(const std::filesystem::path& folder, const Json& manifest) {
    ov::Core core;
    ov::AnyMap properties{ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY)};
    for (const auto& [name, value] : manifest["hints"].fields) properties[name] = value.text;  // the precision, for one
    return core.compile_model((folder / manifest["payload"]["openvino_xml"].text).string(), "CPU", properties);
}

// Run all probes; an error where the outputs are not within the manifest's tolerance of those of the reference.
static void replay_probes(const std::filesystem::path& folder, const Json& manifest, ov::CompiledModel& model) {
    const std::string zip = read_file(folder / manifest["probes"]["file"].text);
    const auto inputs = read_probes(zip, "inputs"), expected = read_probes(zip, "outputs");
    const ov::Shape in = model.input().get_shape(), out = model.output().get_shape();
    const size_t pixels = in[2] * in[3], each = out[1] * pixels, count = inputs.size() / pixels;
    if (!count || inputs.size() != count * pixels || expected.size() != count * each)
        throw std::runtime_error("the probes are not of the model's shape; compile the artefact again");
    const auto& meanings = manifest["outputs"].items.at(0)["meaning"].items;
    size_t foreground = 0;
    while (foreground < meanings.size() && meanings[foreground].text != "foreground") ++foreground;
    const double threshold = manifest.number("threshold");
    double most = 0, sum = 0, both = 0, masks = 0;
    auto request = model.create_infer_request();
    for (size_t probe = 0; probe < count; ++probe) {
        request.set_input_tensor(ov::Tensor(ov::element::f32, in, const_cast<float*>(&inputs[probe * pixels])));
        request.infer();
        const float *output = request.get_output_tensor().data<float>(), *due = &expected[probe * each];
        for (size_t i = 0; i < each; ++i) {
            const double distance = std::fabs(double(output[i]) - due[i]);
            most = std::isnan(distance) ? distance : std::max(most, distance);
            sum += distance;
            if (i / pixels != foreground) continue;
            both += output[i] > threshold && due[i] > threshold;
            masks += (output[i] > threshold) + (due[i] > threshold);
        }
    }
    const double mean = sum / expected.size(), dice = masks ? 2 * both / masks : 1;
    const Json& tolerance = manifest["tolerance"];
    // Not "outside of the tolerance", so that a value that is no number is a miss.
    if (!(most <= tolerance.number("probability_max") && mean <= tolerance.number("probability_mean") &&
          dice >= tolerance.number("mask_dice")))
        throw std::runtime_error("the probes are not reproduced here: max |dp| " + std::to_string(most) + ", mean " +
                                 std::to_string(mean) + ", mask Dice " + std::to_string(dice));
    std::cerr << count << " probes reproduced: max |dp| " << most << ", mask Dice " << dice << "\n";
}

static int run(int count, char** given) {
    const std::filesystem::path folder = given[1];
    const Json manifest = open_artifact(folder);
    auto model = open_model(folder, manifest);
    replay_probes(folder, manifest, model);

    const int height = std::atoi(given[2]), width = std::atoi(given[3]);
    if (height < 1 || width < 1) throw std::runtime_error("HEIGHT and WIDTH are pixels, at least 1");
    Frame frame{std::vector<uint16_t>(size_t(height) * width), height, width};
    if (std::fread(frame.pixels.data(), sizeof(uint16_t), frame.pixels.size(), stdin) != frame.pixels.size())
        throw std::runtime_error("the frame ends early");
    const ov::Shape tile = model.input().get_shape();
    const auto maps = run_tiles(frame, model, int(tile[2]), int(tile[3]), int(manifest.number("overlap")),
                                intensity_range(frame, manifest["normalization"]));
    if (count == 5) {
        std::FILE* file = std::fopen(given[4], "wb");
        if (!file || std::fwrite(maps.data(), sizeof(float), maps.size(), file) != maps.size() || std::fclose(file))
            throw std::runtime_error("the maps cannot be written");
    }
    const Json& objects = manifest["objects"];
    print(find_objects(frame, maps, {manifest.number("threshold"), objects.number("core_threshold"),
                                     objects.number_or("core_prominence", 0), objects.number_or("core_smoothing", 0),
                                     int64_t(objects.number("min_area"))}));
    return 0;
}

int main(int count, char** given) {
    if ((count != 4 && count != 5) || edgescope_version() != EDGESCOPE_VERSION) {
        std::fputs("usage: host ARTIFACT HEIGHT WIDTH [MAPS.f32] < frame.u16 > objects.csv\n", stderr);
        return 2;
    }
    try {
        return run(count, given);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return 1;
    }
}
