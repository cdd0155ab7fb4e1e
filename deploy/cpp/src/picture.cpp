#include "picture.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <opencv2/imgcodecs.hpp>
#include <set>
#include <vector>

#include "errors.h"
#include "package.h"

namespace fs = std::filesystem;

namespace {

constexpr uint64_t FILE_LARGEST = uint64_t{1} << 32;
constexpr size_t HEADER = 8 + 25;  // the signature and IHDR, which comes first
const std::string SIGNATURE = "\x89PNG\r\n\x1a\n";
// EXIF says how a viewer turns the picture: the pixels stay as they are stored.
const std::set<std::string> KEPT = {"iCCP", "sRGB", "gAMA", "cHRM", "pHYs", "eXIf"};

uint32_t number(const std::string& data, size_t at) {
    uint32_t value = 0;
    for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(data[at + i]);
    return value;
}

UserError broken(const fs::path& path) {
    return UserError(path.string() + ": cannot be read as an 8- or 16-bit PNG picture; the file is broken or cut short");
}

// Walks the chunks of a PNG file to its end, before a decoder sees it; returns those to keep.
std::string check(const fs::path& path, const std::string& data) {
    if (data.compare(0, SIGNATURE.size(), SIGNATURE) != 0)
        throw UserError(path.string() + ": is not a PNG picture; other files are for paddle-restore infer");
    if (data.size() < HEADER || data.compare(12, 4, "IHDR") != 0) throw broken(path);
    const int64_t width = number(data, 16), height = number(data, 20);
    if (width * height > MAX_PIXELS)
        throw UserError(path.string() + ": has " + std::to_string(width) + "x" + std::to_string(height) +
                        " pixels, and the limit is " + std::to_string(MAX_PIXELS / 1'000'000) + " million");
    std::string kept;
    size_t at = SIGNATURE.size();
    while (at + 12 <= data.size()) {
        const size_t length = number(data, at);
        if (length > data.size() - at - 12) break;
        const auto kind = data.substr(at + 4, 4);
        const auto* content = reinterpret_cast<const Bytef*>(data.data() + at + 4);
        if (crc32_z(0, content, length + 4) != number(data, at + 8 + length)) break;
        if (kind == "IEND") return kept;
        if (kind == "acTL" && length >= 4 && number(data, at + 8) > 1)
            throw UserError(path.string() + ": is an animated PNG; save one of its pictures as a file of its own");
        if (KEPT.count(kind)) kept += data.substr(at, length + 12);
        at += length + 12;
    }
    throw broken(path);
}

UserError not_written(const fs::path& path) {
    return UserError(path.string() + ": cannot be written (" + std::strerror(errno) + ")");
}

// Sends stderr nowhere while it lives: libpng prints what is wrong with a file, and we say it ourselves.
class Silence {
public:
    Silence() : kept_(::dup(STDERR_FILENO)) {
        const int nowhere = ::open("/dev/null", O_WRONLY);
        if (kept_ >= 0 && nowhere >= 0) ::dup2(nowhere, STDERR_FILENO);
        if (nowhere >= 0) ::close(nowhere);
    }
    ~Silence() {
        if (kept_ < 0) return;
        ::dup2(kept_, STDERR_FILENO);
        ::close(kept_);
    }

private:
    int kept_;
};

bool write_all(int file, const void* data, size_t size) {
    const auto* at = static_cast<const char*>(data);
    while (size) {
        const ssize_t written = ::write(file, at, size);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return false;
        at += written;
        size -= static_cast<size_t>(written);
    }
    return true;
}

}  // namespace

int quantise(float value, float top) {
    return static_cast<int>(std::nearbyint(std::min(std::max(value, 0.0f), 1.0f) * top));
}

Picture read_png(const fs::path& path) {
    auto data = read_bytes(path, FILE_LARGEST);
    Picture picture{{}, check(path, data)};
    try {
        const Silence silence;
        const cv::Mat encoded(1, static_cast<int>(data.size()), CV_8U, data.data());
        if (data.size() <= INT32_MAX) picture.pixels = cv::imdecode(encoded, cv::IMREAD_UNCHANGED);
    } catch (const cv::Exception&) {
        throw broken(path);
    }
    const cv::Mat& pixels = picture.pixels;
    if (pixels.empty() || pixels.channels() == 2 || (pixels.depth() != CV_8U && pixels.depth() != CV_16U))
        throw broken(path);
    return picture;
}

void write_png(const fs::path& path, const Picture& picture) {
    std::vector<unsigned char> encoded;
    try {
        if (!cv::imencode(".png", picture.pixels, encoded) || encoded.size() < HEADER) encoded.clear();
    } catch (const cv::Exception&) {
        encoded.clear();
    }
    if (encoded.empty()) throw UserError(path.string() + ": the picture cannot be encoded as PNG");
    const auto folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
    std::string name = (folder / ("." + path.stem().string() + ".XXXXXX.png")).string();
    const int file = ::mkstemps(name.data(), 4);
    if (file < 0) throw not_written(path);
    const mode_t mask = ::umask(0);
    ::umask(mask);
    bool good = write_all(file, encoded.data(), HEADER) &&
                write_all(file, picture.chunks.data(), picture.chunks.size()) &&
                write_all(file, encoded.data() + HEADER, encoded.size() - HEADER) &&
                ::fchmod(file, 0666 & ~mask) == 0;  // mkstemps makes files that only their owner can read
    good = ::close(file) == 0 && good;
    if (!good || ::rename(name.c_str(), path.c_str()) != 0) {
        const auto error = not_written(path);
        ::unlink(name.c_str());
        throw error;
    }
}
