# syntax=docker/dockerfile:1
# The page in a container:
#   docker build -t mmsr-studio .                                    CPU: small PyTorch wheels
#   docker build -t mmsr-studio --build-arg TORCH_BACKEND=cu128 .    NVIDIA: PyTorch with CUDA 12.8 (cu126, cu130, rocm6.4 ...)
#   docker run --rm -p 7860:7860 mmsr-studio                         with a GPU: docker run --gpus all ...
# Arguments after the image's name go to app.py, e.g. `mmsr-studio --max-megapixels 8`.
FROM python:3.12-slim

# uv picks PyTorch's own wheels for the wanted backend: https://docs.astral.sh/uv/guides/integration/pytorch/
ARG TORCH_BACKEND=cpu

RUN useradd --create-home --uid 1000 studio
WORKDIR /home/studio/app

COPY requirements.txt ./
RUN pip install --no-cache-dir "uv>=0.9,<1" \
    && uv pip install --system --no-cache --torch-backend "${TORCH_BACKEND}" -r requirements.txt \
    && pip uninstall --yes uv

COPY --chown=studio:studio app.py LICENSE README.md ./
COPY --chown=studio:studio assets ./assets
COPY --chown=studio:studio mmsr_core ./mmsr_core
COPY --chown=studio:studio app ./app

# a volume takes its owner from the folder that it covers
RUN mkdir -p /home/studio/.cache/huggingface && chown -R studio:studio /home/studio/.cache

USER 1000
ENV HF_HOME=/home/studio/.cache/huggingface \
    PYTHONUNBUFFERED=1 \
    GRADIO_ANALYTICS_ENABLED=False
VOLUME /home/studio/.cache/huggingface
EXPOSE 7860

HEALTHCHECK --interval=30s --timeout=5s --start-period=120s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:7860/', timeout=4)"]
ENTRYPOINT ["python", "app.py", "--host", "0.0.0.0", "--port", "7860"]
