#pragma once

#include "network.h"
#include "picture.h"
#include "source.h"
#include "tiling.h"

// Run a network over a picture or mosaic, in tiles, into integers of `depth` bits (0: the picture's own,
// 16 for a mosaic). The result is input + strength * (output - input), each in [0, 1]; a strength other than 1
// needs a network that takes a picture to one of the same size. A grey picture stays grey, an alpha channel is passed on. `tiles` is how many it took.
// Throws UserError.
Picture restore(Network& network, const Spec& spec, const Picture& input, const Levels& levels,
                const Tiling& tiling, double strength, int depth, int64_t& tiles);
