#include "onnx_file.h"

#include <cstdint>
#include <map>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "errors.h"
#include "package.h"

namespace {

constexpr uint64_t LARGEST = uint64_t{1} << 31;  // protobuf's own limit

enum Kind { MODEL, TRAINING, FUNCTION, GRAPH, NODE, ATTRIBUTE, SPARSE, TENSOR, OPERATORS };

// Fields of onnx.proto that lead to tensors, and the sets of operators: message, field number -> message.
const std::map<std::pair<Kind, uint64_t>, Kind> INSIDE = {
    {{MODEL, 7}, GRAPH},       {{MODEL, 8}, OPERATORS},  {{MODEL, 20}, TRAINING},  {{MODEL, 25}, FUNCTION},   {{TRAINING, 1}, GRAPH},
    {{TRAINING, 2}, GRAPH},    {{FUNCTION, 7}, NODE},    {{FUNCTION, 11}, ATTRIBUTE}, {{GRAPH, 1}, NODE},
    {{GRAPH, 5}, TENSOR},      {{GRAPH, 15}, SPARSE},    {{NODE, 5}, ATTRIBUTE},    {{ATTRIBUTE, 5}, TENSOR},
    {{ATTRIBUTE, 6}, GRAPH},   {{ATTRIBUTE, 10}, TENSOR}, {{ATTRIBUTE, 11}, GRAPH}, {{ATTRIBUTE, 22}, SPARSE},
    {{ATTRIBUTE, 23}, SPARSE}, {{SPARSE, 1}, TENSOR},    {{SPARSE, 2}, TENSOR}};
constexpr uint64_t EXTERNAL_DATA = 13, DATA_LOCATION = 14, VERSION = 2;
constexpr uint64_t VERSION_LARGEST = 1000;  // OpenVINO counts up to it; there were 25 in 2026

struct NotOnnx : std::runtime_error {
    using std::runtime_error::runtime_error;
};

uint64_t take_varint(std::string_view& message) {
    uint64_t value = 0;
    for (int shift = 0; shift < 70; shift += 7) {
        if (message.empty()) throw NotOnnx("cut off");
        const auto byte = static_cast<unsigned char>(message.front());
        message.remove_prefix(1);
        if (shift < 64) value |= static_cast<uint64_t>(byte & 127) << shift;
        if (byte < 128) return value;
    }
    throw NotOnnx("a number too long");
}

// One field of a protobuf message: an integer, or bytes.
struct Field {
    uint64_t number, value;
    bool is_bytes;
    std::string_view bytes;
};

Field take_field(std::string_view& message) {
    const uint64_t key = take_varint(message), wire = key & 7;
    if (wire == 0) return {key >> 3, take_varint(message), false, {}};
    if (wire != 1 && wire != 2 && wire != 5) throw NotOnnx("no such wire type");
    const uint64_t size = wire == 2 ? take_varint(message) : wire == 1 ? 8 : 4;
    if (size > message.size()) throw NotOnnx("cut off");
    const Field field{key >> 3, 0, true, message.substr(0, size)};
    message.remove_prefix(size);
    return field;
}

bool refers_to_other_files(const std::string& content) {
    std::vector<std::pair<Kind, std::string_view>> pending{{MODEL, content}};
    while (!pending.empty()) {
        auto [kind, message] = pending.back();
        pending.pop_back();
        while (!message.empty()) {
            const Field field = take_field(message);
            if (kind == TENSOR) {
                if (field.number == EXTERNAL_DATA) return true;
                if (field.number == DATA_LOCATION && (field.is_bytes || field.value != 0)) return true;
            } else if (kind == OPERATORS) {
                if (field.number == VERSION && (field.is_bytes || field.value > VERSION_LARGEST))
                    throw NotOnnx("no such version");
            } else if (const auto inner = INSIDE.find({kind, field.number});
                       inner != INSIDE.end() && field.is_bytes) {
                pending.emplace_back(inner->second, field.bytes);
            }
        }
    }
    return false;
}

}  // namespace

std::string read_onnx(const std::filesystem::path& path) {
    auto content = read_bytes(path, LARGEST);
    try {
        if (refers_to_other_files(content))
            throw UserError(path.string() + ": refers to data in other files; export the model again");
    } catch (const NotOnnx&) {
        throw UserError(path.string() + ": is not an ONNX file, or broken; export the model again");
    }
    return content;
}
