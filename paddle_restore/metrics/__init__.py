"""Image quality by named protocol, and what a network costs."""

from paddle_restore.metrics.registry import PROTOCOLS, Protocol, evaluate, psnr, register, ssim

__all__ = ["PROTOCOLS", "Protocol", "evaluate", "psnr", "register", "ssim"]
