#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

// What must be known of a network: paddle_restore/models/spec.py.
struct Spec {
    std::string id;
    std::string input;  // srgb; bayer, packed in four planes; or mosaic
    int64_t scale;      // output pixels per input pixel, along each side
    int64_t multiple;   // of which the input's sides must be multiples
    int64_t halo;       // input pixels of context
    bool global;        // pools over the whole frame: the halo does not count
    int64_t memory;     // bytes of working memory per input pixel, 0 where not measured
    bool clip;          // an amplified mosaic is clipped at 1

    bool raw() const { return input != "srgb"; }
    int64_t factor() const { return input == "bayer" ? 2 : 1; }  // sensor pixels per input pixel
    int64_t channels() const { return input == "srgb" ? 3 : input == "bayer" ? 4 : 1; }
};

// An exported folder's inference.yml.
struct Package {
    Spec spec;
    std::filesystem::path onnx;
    std::optional<double> black_level, white_level;
};

// Throws UserError for a folder that is not whole, or whose network this program does not run.
Package read_package(const std::filesystem::path& folder);

// The bytes of a file of at most `limit`. Throws UserError.
std::string read_bytes(const std::filesystem::path& path, uint64_t limit);
