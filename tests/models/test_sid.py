"""SID U-Net, beyond the alignment with its authors' values."""

from __future__ import annotations

from paddle_restore import create_model

from .golden import parameters, tensor


def test_published_size():
    assert parameters(create_model("sid_unet")) == 7_760_748


def test_fuji_has_nine_channels_in_and_three_times_the_size_out():
    model = create_model("sid_unet_xtrans", width=2)
    assert model(tensor("x", (1, 9, 16, 32))).shape == [1, 3, 48, 96]
