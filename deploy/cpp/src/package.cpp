#include "package.h"

#include <yaml-cpp/yaml.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "errors.h"

namespace fs = std::filesystem;

namespace {

constexpr uint64_t MANIFEST_LARGEST = 1 << 20;
constexpr int64_t HALO_LARGEST = 1 << 20;

int64_t whole_number(const YAML::Node& node, const char* name, int64_t least, int64_t most) {
    auto value = node[name].as<int64_t>();
    if (value < least || value > most) throw YAML::Exception(node.Mark(), std::string(name) + " is out of range");
    return value;
}

std::optional<double> level(const YAML::Node& preprocess, const char* name) {
    if (!preprocess[name] || preprocess[name].IsNull()) return std::nullopt;
    return preprocess[name].as<double>();
}

Spec read_spec(const YAML::Node& node) {
    Spec spec{};
    spec.id = one_line(node["id"].as<std::string>());
    spec.input = node["input"].as<std::string>();
    spec.scale = whole_number(node, "scale", 1, 4096);
    spec.multiple = whole_number(node, "multiple", 1, 4096);
    spec.global = node["halo"].as<std::string>() == "global";
    spec.halo = spec.global ? 0 : whole_number(node, "halo", 0, HALO_LARGEST);
    spec.memory = node["memory"] ? whole_number(node, "memory", 0, INT32_MAX) : 0;
    spec.clip = node["clip"] ? node["clip"].as<bool>() : true;
    return spec;
}

void require_what_runs_here(const YAML::Node& root, const fs::path& folder, const Spec& spec) {
    const std::string name = folder.string() + ": ";
    const auto output = root["spec"]["output"];
    if (output && output.as<std::string>() != "picture")
        throw UserError(name + spec.id + " restores raw frames, which this program does not; run it with paddle-restore restore");
    if (root["spec"]["latent"] && !root["spec"]["latent"].IsNull())
        throw UserError(name + spec.id + " draws noise, which this program does not; run it with paddle-restore infer");
    if (spec.input != "srgb" && spec.input != "bayer" && spec.input != "mosaic")
        throw UserError(name + spec.id + " reads " + one_line(spec.input) +
                        " input, which this program does not; run it with paddle-restore infer");
    const auto graph = root["graph"];
    if (!graph["onnx"] || graph["onnx"].IsNull())
        throw UserError(name + "has no onnx graph; export it with --format onnx (or all)");
    const auto file = graph["onnx"].as<std::string>();
    if (file.empty() || file == "." || file == ".." || fs::path(file).filename() != file ||
        file.find('\0') != std::string::npos)
        throw UserError(name + "graph.onnx in inference.yml must be a file of the same folder");
}

}  // namespace

std::string one_line(const std::string& text) {
    std::string line;
    for (unsigned char c : text) {
        if (c <= ' ' || c == 127) {
            if (!line.empty() && line.back() != ' ') line += ' ';
        } else {
            line += static_cast<char>(c);
        }
    }
    while (!line.empty() && line.back() == ' ') line.pop_back();
    return line.size() > 300 ? line.substr(0, 300) + " ..." : line;
}

std::string read_bytes(const fs::path& path, uint64_t limit) {
    std::error_code error;
    if (!fs::exists(path, error)) throw UserError(path.string() + ": no such file");
    if (!fs::is_regular_file(path, error)) throw UserError(path.string() + ": is not a file");
    const auto size = fs::file_size(path, error);
    if (error) throw UserError(path.string() + ": cannot be read (" + error.message() + ")");
    if (size > limit)
        throw UserError(path.string() + ": has " + std::to_string(size >> 20) + " MB, and the limit is " +
                        std::to_string(limit >> 20) + " MB");
    std::ifstream file(path, std::ios::binary);
    std::string content(size, '\0');
    if (!file || !file.read(content.data(), static_cast<std::streamsize>(size)))
        throw UserError(path.string() + ": cannot be read (" + std::strerror(errno) + ")");
    return content;
}

Package read_package(const fs::path& folder) {
    const auto path = folder / "inference.yml";
    std::error_code error;
    if (!fs::is_regular_file(path, error))
        throw UserError(folder.string() +
                        ": is not an exported model (it has no inference.yml); make one with export_model.py");
    const auto text = read_bytes(path, MANIFEST_LARGEST);
    try {
        const YAML::Node root = YAML::Load(text);
        if (!root.IsMap() || root["format"].as<int>() != 1)
            throw UserError(path.string() + ": is not of format 1, which this program reads; export the model again");
        Package package{read_spec(root["spec"]), {}, {}, {}};
        require_what_runs_here(root, folder, package.spec);
        package.onnx = folder / root["graph"]["onnx"].as<std::string>();
        if (const auto preprocess = root["preprocess"]) {
            package.black_level = level(preprocess, "black_level");
            package.white_level = level(preprocess, "white_level");
        }
        return package;
    } catch (const YAML::Exception& problem) {
        throw UserError(path.string() + ": is broken (" + one_line(problem.what()) + ")");
    }
}
