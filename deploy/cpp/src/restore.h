#pragma once

#include "network.h"
#include "picture.h"
#include "source.h"
#include "tiling.h"

// Run a network over a picture or mosaic, in tiles, into integers of `depth` bits (0: the picture's own,
// 16 for a mosaic). A grey picture stays grey, an alpha channel is passed on. `tiles` is how many it took.
// Throws UserError.
Picture restore(Network& network, const Spec& spec, const Picture& input, const Levels& levels,
                const Tiling& tiling, int depth, int64_t& tiles);
