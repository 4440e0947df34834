"""One restoration in a process of its own, for its time and peak memory: prints a JSON object."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser

from mmsr_core.evaluation.bench import photo
from mmsr_core.evaluation.timing import clock, peak_bytes
from mmsr_core.settings import Settings
from mmsr_core.upscaler import Upscaler


def main(argv: list[str]) -> None:
    parser = ArgumentParser(description="restore a made-up photo of SIDE x SIDE px and report the cost")
    parser.add_argument("side", type=int)
    parser.add_argument("--preset", default="mini")
    parser.add_argument("--weights")
    args = parser.parse_args(argv)
    upscaler = Upscaler.load(args.preset, args.weights, "cpu")
    small = photo(32)
    settings = Settings(seed=0, steps=2)
    upscaler.restore(small, upscaler.extract(small), settings).finish()
    loaded = peak_bytes()
    image, start = photo(args.side), clock()
    result = upscaler.restore(image, upscaler.extract(image), settings)
    result.finish()
    found = {"seconds": clock() - start, "tiles": len(result.tiles), "loaded": loaded, "peak": peak_bytes()}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
