# shellcheck shell=bash disable=SC2034
# Written by test_tipc/make_configs.py; sourced by prepare.sh and run_all.sh.
networks=(sid_unet sid_unet_xtrans lamba mirnet mirnet_v2 mirnet_v2_small invdn denoise_unet denoise_raw nafnet)
# Set the published recipe, the kind of made data, its set and the benchmark's crop of network $1.
describe_network() {
  case "$1" in
    sid_unet) published=configs/sid/sony.yml kind=sid set=Sony crop=128 ;;
    sid_unet_xtrans) published=configs/sid/fuji.yml kind=xtrans set=Fuji crop=96 ;;
    lamba) published=configs/lamba/sony.yml kind=sid set=Sony crop=192 ;;
    mirnet) published=configs/mirnet/sidd_1card.yml kind=srgb set= crop=64 ;;
    mirnet_v2) published=configs/mirnet_v2/sidd_official.yml kind=srgb set= crop=64 ;;
    mirnet_v2_small) published=configs/mirnet_v2/sidd_1card.yml kind=srgb set= crop=64 ;;
    invdn) published=configs/invdn/sidd_1card.yml kind=srgb set= crop=64 ;;
    denoise_unet) published=configs/denoise/srgb.yml kind=srgb set= crop=64 ;;
    denoise_raw) published=configs/denoise/raw.yml kind=stabilised set=Sony crop=64 ;;
    nafnet) published=configs/nafnet/sidd_width32.yml kind=srgb set= crop=64 ;;
    *) return 1 ;;
  esac
}
