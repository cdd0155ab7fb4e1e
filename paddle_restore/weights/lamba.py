"""Names of Lamba's published checkpoints -> ours."""

RULES = [
    (r"^conv32x\.0\.0\.", "coarse_in."),
    (r"^conv32x\.1\.0\.", "coarse_squeeze."),
    (r"^RDB([123])\.dense_layers\.(\d)\.conv\.[01]\.", lambda m: f"dense.{int(m[1]) - 1}.layers.{m[2]}."),
    (r"^RDB([123])\.conv_1x1\.0\.", lambda m: f"dense.{int(m[1]) - 1}.fuse."),
    (r"^rdball\.0\.", "dense_fuse."),
    (r"^conv_rdb8x\.0\.", "coarse_out."),
    (r"^resblock8x\.(conv[12])\.0\.", r"middle.\1."),
    (r"^conv32_8_cat\.0\.0\.", "join."),
    (r"^conv32_8_cat\.1\.0\.", "expand."),
    (r"^conv2x\.0\.", "fine."),
    (r"^conv_2_8_32\.0\.", "head."),
]
