"""Clean photographs -> raw files of a noisy camera: unprocessing, camera noise, DNG."""
