"""Start the page: `python app.py`, or `gradio app.py` while working on it."""

from __future__ import annotations

import argparse
import importlib.util
import os

import gradio as gr

from app import ui
from app.engine import Engine, Options
from mmsr_core.presets import PRESETS

SESSIONS = 200  # that Gradio remembers, with about 5 MB each; it forgets those that were not used for longest

if gr.NO_RELOAD:
    engine = Engine()
demo = ui.build(engine)


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="MMSR Studio: photo super-resolution with depth, segmentation, edges and words."
    )
    public = [name for name, row in PRESETS.items() if row.public]
    parser.add_argument(
        "--preset",
        default=os.environ.get("MMSR_PRESET", Options.preset),
        choices=list(PRESETS),
        help=f"which model: {', '.join(public)} (default %(default)s, or MMSR_PRESET)",
    )
    parser.add_argument(
        "--weights",
        default=os.environ.get("MMSR_WEIGHTS"),
        help="folder or hub id of the weights, where the preset bundles none or others are wanted (or MMSR_WEIGHTS)",
    )
    parser.add_argument("--device", help="cpu, cuda, cuda:1, mps ... (default: the fastest there is)")
    parser.add_argument(
        "--host",
        default=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"),
        help="address to listen on; 0.0.0.0 opens the page to the network (default %(default)s)",
    )
    parser.add_argument("--port", type=int, help="port to listen on (default: the first free one from 7860)")
    parser.add_argument(
        "--share",
        action="store_true",
        help="open a public link through Gradio's tunnel; photos then leave this machine",
    )
    parser.add_argument(
        "--auth",
        metavar="USER:PASS",
        help="ask for this name and password (or set MMSR_AUTH, which other users of this machine cannot read)",
    )
    parser.add_argument(
        "--max-megapixels",
        type=float,
        default=os.environ.get("MMSR_MAX_MEGAPIXELS", Options.max_megapixels),
        help="input photos are shrunk to so many megapixels (default %(default)s, or MMSR_MAX_MEGAPIXELS)",
    )
    parser.add_argument(
        "--queue-size",
        type=int,
        default=20,
        help="visitors who may wait before new ones are turned away (default %(default)s)",
    )
    parser.add_argument("--mcp", action="store_true", help="offer the API as MCP tools as well (needs gradio[mcp])")
    args = parser.parse_args(argv)
    args.auth = os.environ.get("MMSR_AUTH") if args.auth is None else args.auth
    if args.auth is not None and not all(args.auth.partition(":")[::2]):
        parser.error("--auth: got no USER:PASS, wanted a name and a password with a colon between them")
    if args.mcp and importlib.util.find_spec("mcp") is None:
        parser.error("--mcp: got no package mcp, wanted it installed: pip install 'gradio[mcp]'")
    if args.preset not in PRESETS:  # argparse does not look at what comes from the environment
        parser.error(f"MMSR_PRESET: got {args.preset}, wanted one of {', '.join(public)}")
    if args.max_megapixels <= 0 or args.queue_size < 1:
        parser.error("--max-megapixels and --queue-size: wanted numbers above 0")
    return args


def main(argv: list[str] | None = None) -> None:
    args = arguments(argv)
    engine.options = Options(args.preset, args.weights, args.device, args.max_megapixels)
    demo.queue(max_size=args.queue_size, default_concurrency_limit=4)
    demo.launch(
        server_name=args.host,
        server_port=args.port,
        share=args.share,
        auth=None if args.auth is None else tuple(args.auth.split(":", 1)),
        mcp_server=args.mcp,
        max_file_size="200mb",
        show_error=False,
        ssr_mode=False,
        state_session_capacity=SESSIONS,
        run_history=False,
        enable_monitoring=False,
        footer_links=["api"],
        prevent_thread_lock=True,
        **ui.look(),
    )
    engine.start()  # after the page is up, so that loading never delays it
    demo.block_thread()


if __name__ == "__main__":
    main()
