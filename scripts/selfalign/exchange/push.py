"""Push a dataset repository to the Hugging Face hub. Needs an owner in the config and a token; tried against a server of our own, not the hub."""

import os
from pathlib import Path

from selfalign.data.errors import ConfigError, InputError


def push_dataset(folder: str | os.PathLike, repository: str, private: bool) -> str:
    """Make the dataset repository `repository` ("owner/name") what `folder` holds; the address of the commit.

    ConfigError without an owner, InputError without a token or if the hub refuses.
    """
    from huggingface_hub import HfApi, get_token  # slow to import

    if "/" not in repository:
        raise ConfigError("hub.owner: missing; pushing needs the user or organisation that is to own the datasets")
    if not get_token():
        raise InputError("pushing needs a token of the Hugging Face hub that may write: log in with `hf auth login`, or set HF_TOKEN")
    if not (Path(folder) / "README.md").is_file():
        raise InputError(f"{folder}: no dataset repository; export it first")
    api = HfApi()
    try:
        api.create_repo(repository, repo_type="dataset", private=private, exist_ok=True)
        # Files of an earlier export with more shards go.
        commit = api.upload_folder(
            repo_id=repository,
            repo_type="dataset",
            folder_path=Path(folder),
            ignore_patterns=".*",
            delete_patterns="data/*.parquet",
            commit_message="Export of a selfalign run",
        )
    except Exception as error:  # the client raises many kinds: no network, not allowed, no such owner
        raise InputError(f"{repository}: cannot be pushed ({' '.join(str(error).split())[:300]})") from error
    return str(commit.commit_url)
