// Restore PNG pictures with an exported network, as `paddle-restore restore` does.

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <opencv2/core/utils/logger.hpp>
#include <set>

#include "errors.h"
#include "restore.h"

namespace fs = std::filesystem;

namespace {

const char* const USAGE =
    "usage: restore [--model_dir DIR] --input FILE... --output DIR|FILE.png [--strength S] [--tile auto|none|N]\n"
    "               [--memory GB] [--depth 8|16] [--threads N] [--black N --white N --ratio N]\n"
    "Without --model_dir the variable PADDLE_RESTORE_MODEL_DIR names the model, and without both it is\n" SHIPPED_MODEL
    "\n";
const char* const MODEL_DIR = "PADDLE_RESTORE_MODEL_DIR";
constexpr double MAX_STRENGTH = 1.5;

struct Options {
    fs::path model_dir, output;
    std::vector<fs::path> inputs;
    Tiling tiling;
    double strength = 1.0;
    int depth = 0, threads = 0;
    std::optional<double> black, white, ratio;
};

double real(const std::string& name, const std::string& text, double least, double most) {
    size_t end = 0;
    double value = NAN;
    try {
        value = std::stod(text, &end);
    } catch (const std::exception&) {
    }
    if (end != text.size() || !(value >= least && value <= most)) {
        char range[64];
        std::snprintf(range, sizeof range, "%g to %g", least, most);
        throw UserError(name + " must be a number from " + range + ", not " + one_line(text));
    }
    return value;
}

int whole(const std::string& name, const std::string& text, int least, int most) {
    const double value = real(name, text, least, most);
    if (value != std::floor(value)) throw UserError(name + " must be a whole number, not " + one_line(text));
    return static_cast<int>(value);
}

Tiling tiling_of(const std::string& text) {
    if (text == "auto") return {};
    if (text == "none") return {Tiling::WHOLE, 0};
    return {Tiling::SIDE, whole("--tile, if not auto or none,", text, 1, 1 << 30)};
}

// The model where the user names none.
fs::path default_model() {
    const char* const named = std::getenv(MODEL_DIR);
    if (named && *named) return named;
    const fs::path folder = SHIPPED_MODEL;
    std::error_code error;
    if (!fs::exists(folder / "inference.yml", error))
        throw UserError(folder.string() + ": is missing, so there is no default model; name one: --model_dir DIR, or " +
                        MODEL_DIR);
    return folder;
}

Options parse(const std::vector<std::string>& words) {
    static const std::set<std::string> known = {"--model_dir", "--input", "--output",  "--strength",
                                                "--tile",      "--memory", "--depth",  "--threads",
                                                "--black",     "--white",  "--ratio"};
    std::map<std::string, std::vector<std::string>> given;
    std::string option;
    for (const auto& word : words) {
        if (word.rfind("--", 0) == 0) {
            if (!known.count(word)) throw UserError(one_line(word) + ": no such option; --help names them");
            option = word;
            given[option];
        } else if (option.empty() || (option != "--input" && !given[option].empty())) {
            throw UserError(one_line(word) + ": belongs to no option; --help names them");
        } else {
            given[option].push_back(word);
        }
    }
    for (const auto& [name, values] : given)
        if (values.empty()) throw UserError(name + ": needs a value");
    for (const char* name : {"--input", "--output"})
        if (!given.count(name)) throw UserError(std::string(name) + " is missing; --help says what belongs there");
    Options options;
    options.model_dir = given.count("--model_dir") ? fs::path(given["--model_dir"][0]) : default_model();
    options.inputs.assign(given["--input"].begin(), given["--input"].end());
    options.output = given["--output"][0];
    const auto number = [&](const char* name, double least, double most) -> std::optional<double> {
        if (!given.count(name)) return std::nullopt;
        return real(name, given[name][0], least, most);
    };
    if (given.count("--tile")) options.tiling = tiling_of(given["--tile"][0]);
    options.tiling.budget = number("--memory", 1e-6, 1e4).value_or(options.tiling.budget);
    options.strength = number("--strength", 0, MAX_STRENGTH).value_or(options.strength);
    if (given.count("--depth")) options.depth = whole("--depth", given["--depth"][0], 8, 16);
    if (options.depth % 8) throw UserError("--depth must be 8 or 16");
    if (given.count("--threads")) options.threads = whole("--threads", given["--threads"][0], 1, 1024);
    options.black = number("--black", 0, 65535);
    options.white = number("--white", 0, 65535);
    options.ratio = number("--ratio", 0.01, 1e5);
    return options;
}

void check_strength(const Options& options, const Spec& spec) {
    if (options.strength != 1 && (spec.raw() || spec.scale != 1))
        throw UserError("--strength: " + spec.id +
                        " has none; only networks that take a picture to one of the same size do; leave it out");
}

Levels levels_of(const Options& options, const Package& package) {
    if (!package.spec.raw()) return {};
    const auto black = options.black ? options.black : package.black_level;
    const auto white = options.white ? options.white : package.white_level;
    if (!black || !white || !options.ratio)
        throw UserError(package.spec.id +
                        " restores raw frames, of which a PNG says too little: give --black, --white and --ratio");
    if (!(*white > *black)) throw UserError("--white must be above --black");
    return {*black, *white, *options.ratio};
}

// Which file is written for each input: the output itself for a single one, or the same name in a folder.
std::vector<fs::path> targets_of(const Options& options) {
    const auto& output = options.output;
    if (output.extension() == ".png" && !fs::is_directory(output)) {
        if (options.inputs.size() > 1)
            throw UserError(output.string() + ": is the name of one picture, but there are more; name a folder");
        return {output};
    }
    std::error_code error;
    fs::create_directories(output, error);
    if (error || !fs::is_directory(output))
        throw UserError(output.string() + ": cannot be made a folder; name a folder, or a file that ends in .png");
    std::vector<fs::path> targets;
    std::set<fs::path> taken;
    for (const auto& input : options.inputs) {
        targets.push_back(output / input.filename().replace_extension(".png"));
        if (!taken.insert(targets.back()).second)
            throw UserError(targets.back().string() + ": two files would be written there; name two folders");
    }
    return targets;
}

void restore_file(Network& network, const Package& package, const Options& options, const Levels& levels,
                  const fs::path& input, const fs::path& target) {
    using Clock = std::chrono::steady_clock;
    const auto start = Clock::now();
    std::error_code none_yet;
    if (fs::equivalent(input, target, none_yet))
        throw UserError(target.string() + ": is the input itself; choose another --output");
    int64_t tiles = 0;
    const Picture picture = read_png(input);
    const Picture restored =
        restore(network, package.spec, picture, levels, options.tiling, options.strength, options.depth, tiles);
    write_png(target, restored);
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    std::printf("%s: %dx%d, %d bit, tiles %lld, %.3f s\n", target.c_str(), restored.pixels.cols,
                restored.pixels.rows, restored.depth(), static_cast<long long>(tiles), seconds);
    std::fflush(stdout);
}

// Returns whether `work` succeeded; says on one line why it did not.
template <typename Work>
bool attempt(const std::string& what, Work work) {
    try {
        work();
        return true;
    } catch (const UserError& error) {
        std::cerr << "error: " << error.what() << std::endl;
    } catch (const std::bad_alloc&) {
        std::cerr << "error: " << what << ": takes more memory than there is; choose a smaller --tile or --memory"
                  << std::endl;
    } catch (const std::exception& error) {
        std::cerr << "error: " << what << ": " << one_line(error.what()) << std::endl;
    }
    return false;
}

bool run(const std::vector<std::string>& words) {
    const Options options = parse(words);
    const Package package = read_package(options.model_dir);
    check_strength(options, package.spec);
    const Levels levels = levels_of(options, package);
    const auto targets = targets_of(options);
    Network network(package, options.threads);
    bool good = true;
    for (size_t i = 0; i < targets.size(); ++i) {
        const auto& input = options.inputs[i];
        good &= attempt(input.string(),
                        [&] { restore_file(network, package, options, levels, input, targets[i]); });
    }
    return good;
}

}  // namespace

int main(int count, char** arguments) {
    const std::vector<std::string> words(arguments + 1, arguments + count);
    if (words.empty() || words[0] == "--help" || words[0] == "-h") {
        std::cout << USAGE;
        return words.empty() ? 2 : 0;
    }
    // A broken file is one line of ours, not several of OpenCV's.
    cv::utils::logging::setLogLevel(cv::utils::logging::LOG_LEVEL_SILENT);
    bool good = true;
    const bool ran = attempt("restore", [&] { good = run(words); });
    return ran && good ? 0 : 2;
}
