#include "network.h"

#include <algorithm>
#include <cmath>
#include <thread>

#include "errors.h"
#include "onnx_file.h"

Network::Network(const Package& package, int threads) : spec_(package.spec) {
    const auto content = read_onnx(package.onnx);
    if (threads == 0) threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
    try {
        const auto model = core_.read_model(content, ov::Tensor());
        if (model->inputs().size() != 1 || model->outputs().size() != 1)
            throw UserError(package.onnx.string() + ": must have one input and one output; export the model again");
        // fp32 is asked for: on a CPU that has bf16, OpenVINO computes in bf16 unless it is told otherwise.
        auto compiled = core_.compile_model(model, "CPU", ov::hint::inference_precision(ov::element::f32),
                                            ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY),
                                            ov::inference_num_threads(threads));
        request_ = compiled.create_infer_request();
    } catch (const ov::Exception& error) {
        throw UserError(package.onnx.string() + ": OpenVINO cannot load it (" + one_line(error.what()) +
                        "); export it again");
    }
}

const float* Network::run(std::vector<float>& input, int64_t height, int64_t width) {
    const auto side = [](int64_t length) { return static_cast<size_t>(length); };
    const ov::Shape shape{1, side(spec_.channels()), side(height), side(width)};
    const ov::Shape expected{1, 3, side(spec_.scale * height), side(spec_.scale * width)};
    try {
        request_.set_input_tensor(ov::Tensor(ov::element::f32, shape, input.data()));
        request_.infer();
        output_ = request_.get_output_tensor();
    } catch (const ov::Exception& error) {
        throw UserError(spec_.id + ": OpenVINO cannot run it (" + one_line(error.what()) +
                        "); choose a smaller --tile or --memory, or export the model again");
    }
    bool good = output_.get_element_type() == ov::element::f32 && output_.get_shape() == expected;
    if (good) {
        const auto* values = output_.data<const float>();
        good = std::all_of(values, values + output_.get_size(), [](float value) { return std::isfinite(value); });
    }
    if (!good)
        throw UserError(spec_.id +
                        " gave no picture (its output has another shape, or holds NaN); "
                        "check the weights, the spec and the input's levels and ratio");
    return output_.data<const float>();
}
