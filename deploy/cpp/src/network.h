#pragma once

#include <openvino/openvino.hpp>
#include <vector>

#include "package.h"

// An exported model.onnx that OpenVINO runs on the CPU in fp32.
class Network {
public:
    // `threads` 0: the cores that this process may use. Throws UserError.
    Network(const Package& package, int threads);

    // Planes of height x width -> the three planes of the output, valid until the next call.
    // Throws UserError for an output that is no picture.
    const float* run(std::vector<float>& input, int64_t height, int64_t width);

private:
    Spec spec_;
    ov::Core core_;
    ov::InferRequest request_;
    ov::Tensor output_;
};
