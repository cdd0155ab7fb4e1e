#include "source.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace {

// The mosaic grown to whole 2x2 cells by the row and column one period before.
cv::Mat whole_cells(const cv::Mat& mosaic) {
    const int height = mosaic.rows, width = mosaic.cols;
    if (height < 2 || width < 2 || (height % 2 == 0 && width % 2 == 0)) return mosaic;
    cv::Mat grown(height + height % 2, width + width % 2, mosaic.type());
    mosaic.copyTo(grown(cv::Rect(0, 0, width, height)));
    if (width % 2) grown.col(width - 1 - 1).copyTo(grown.col(width));
    if (height % 2) grown.row(height - 1 - 1).copyTo(grown.row(height));
    return grown;
}

std::vector<float> table_of(const Spec& spec, int depth, const Levels& levels) {
    std::vector<float> table(size_t{1} << depth);
    const float top = static_cast<float>(table.size() - 1), black = static_cast<float>(levels.black);
    const float gain = static_cast<float>(levels.ratio / (levels.white - levels.black));
    const float most = spec.clip ? 1.0f : std::numeric_limits<float>::infinity();
    for (size_t i = 0; i < table.size(); ++i) {
        const float value = static_cast<float>(i);
        table[i] = spec.raw() ? std::clamp((value - black) * gain, 0.0f, most) : value / top;
    }
    return table;
}

// np.pad's reflection, which goes back and forth where there is little to reflect.
std::vector<int64_t> reflected(int64_t start, int64_t count, int64_t length) {
    const int64_t inside = std::min(count, length - start);
    const int64_t period = std::max<int64_t>(1, 2 * (inside - 1));
    std::vector<int64_t> places(static_cast<size_t>(count));
    for (int64_t i = 0; i < count; ++i) {
        const int64_t k = i % period;
        places[i] = start + (i < inside ? i : std::min(k, period - k));
    }
    return places;
}

}  // namespace

Source::Source(const Spec& spec, const Picture& picture, const Levels& levels)
    : spec_(spec),
      values_(spec.raw() ? whole_cells(picture.pixels) : picture.pixels),
      levels_(levels),
      table_(table_of(spec, picture.depth(), levels)) {}

std::vector<float> Source::window(int64_t top, int64_t left, int64_t tall, int64_t wide) const {
    const auto rows = reflected(top, tall, height()), columns = reflected(left, wide, width());
    std::vector<float> planes(static_cast<size_t>(spec_.channels() * tall * wide));
    auto to = planes.begin();
    for (int64_t channel = 0; channel < spec_.channels(); ++channel)
        for (const int64_t y : rows)
            for (const int64_t x : columns) *to++ = at(channel, y, x);
    return planes;
}

cv::Mat Source::darkest_colours() const {
    const float black = static_cast<float>(levels_.black), gain = static_cast<float>(1 / (levels_.white - levels_.black));
    const float factor = spec_.clip ? static_cast<float>(std::max(levels_.ratio, 1.0)) : 1.0f;
    cv::Mat cells(values_.rows / 2, values_.cols / 2, CV_32F);
    for (int y = 0; y < cells.rows; ++y) {
        const auto light = [&](int row, int column) {
            return std::clamp((values_.at<uint16_t>(2 * y + row, column) - black) * gain, 0.0f, 1.0f);
        };
        for (int x = 0; x < cells.cols; ++x) {
            const float green = (light(0, 2 * x + 1) + light(1, 2 * x)) / 2;
            cells.at<float>(y, x) = factor * std::min({light(0, 2 * x), green, light(1, 2 * x + 1)});
        }
    }
    return cells;
}

float Source::white() const { return static_cast<float>(std::pow(std::min(levels_.ratio, 1.0), 1 / 2.2)); }

float Source::at(int64_t channel, int64_t y, int64_t x) const {
    int64_t place;
    if (spec_.input == "bayer") {
        // Red, green of the red row, blue, green of the blue row.
        const int64_t down = channel / 2, right = channel == 1 || channel == 2;
        place = 2 * x + right;
        y = 2 * y + down;
    } else {
        // OpenCV has blue first; grey is three equal colours.
        place = values_.channels() == 1 ? x : x * values_.channels() + 2 - channel;
    }
    const int row = static_cast<int>(y);
    return table_[values_.depth() == CV_8U ? values_.ptr<uint8_t>(row)[place] : values_.ptr<uint16_t>(row)[place]];
}
