#pragma once

#include <filesystem>
#include <string>

// The content of an ONNX file, which may be a stranger's. Throws UserError if it is not ONNX, or refers
// to other files: a tensor may say that its values lie in one, by a path that a library would follow.
std::string read_onnx(const std::filesystem::path& path);
