#pragma once

#include <opencv2/core.hpp>
#include <vector>

#include "package.h"
#include "picture.h"

// Sensor values of black and white, and the amplification of a mosaic.
struct Levels {
    double black, white, ratio;
};

// What a network's windows are cut from, held in the file's own integers: a picture's colours, or a Bayer
// mosaic that begins with RGGB.
class Source {
public:
    Source(const Spec& spec, const Picture& picture, const Levels& levels);

    // Sides in network input pixels, and of the file.
    int64_t height() const { return values_.rows / spec_.factor(); }
    int64_t width() const { return values_.cols / spec_.factor(); }

    // Planes of [0, 1], of a mosaic that is not clipped 0 and more; beyond the bottom and right edge by reflection.
    std::vector<float> window(int64_t top, int64_t left, int64_t tall, int64_t wide) const;

    // Of a mosaic's 2x2 cells, the smallest of the three colours, 1 = white after the amplification, or where
    // the network gets what is above white, at the sensor's saturation.
    cv::Mat darkest_colours() const;

    // What saturation comes to in the picture, of [0, 1].
    float white() const;

private:
    float at(int64_t channel, int64_t y, int64_t x) const;

    const Spec& spec_;
    cv::Mat values_;
    Levels levels_;
    std::vector<float> table_;  // of every integer, what the network reads
};
