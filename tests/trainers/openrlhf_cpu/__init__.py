"""OpenRLHF's own command lines on a machine without a GPU, for tests.

`python -m tests.trainers.openrlhf_cpu sft ARGUMENTS` runs `openrlhf.cli.train_sft`, and `… grpo
ARGUMENTS` runs `trainers.openrlhf.main`, as they are, with these replacements, and no others:

- `torch.cuda.current_device`, `synchronize`, `set_device` and `current_stream` answer for the CPU;
- Ray is told of GPUs that do not exist;
- the NCCL group by which weights reach the engines is one of gloo (`weights.py`);
- the vLLM engine is a Hugging Face model in the same actor class (`engine.py`), so nothing is said
  here about vLLM, its text, its prefix cache, or its speed;
- flash-attn and vLLM are stood in for while OpenRLHF is imported (`trainers.openrlhf.gpu_packages`).

Ray, DeepSpeed, the executor, sampling, experience making, loss, weight sync and checkpoints are real.
"""
