"""Image quality by named protocol: a number means little without the protocol that gave it."""

from paddle_restore.metrics.quality import PROTOCOLS, Protocol, evaluate, psnr, ssim

__all__ = ["PROTOCOLS", "Protocol", "evaluate", "psnr", "ssim"]
