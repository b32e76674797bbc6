"""What is read from a saved image."""

import io
import json
import tarfile
import tempfile
import tomllib
import unittest
from pathlib import Path

import engine


class Sizes(unittest.TestCase):
    def test_files_of_all_layers_are_listed_once_and_folders_are_not(self) -> None:
        layers = {"one.tar": {"worker": b"1234", "etc/hosts": b"1"}, "two.tar": {"./etc/hosts": b"12"}}
        with tempfile.TemporaryDirectory() as place:
            archive = Path(place) / "image.tar"
            with tarfile.open(archive, "w") as saved:
                add(saved, "manifest.json", json.dumps([{"Layers": list(layers)}]).encode())
                for name, files in layers.items():
                    add(saved, name, layer(files))
            self.assertEqual(engine.sizes(archive), {"/worker": 4, "/etc/hosts": 2})


class Platforms(unittest.TestCase):
    def test_a_platform_that_fargate_does_not_have_is_refused(self) -> None:
        with self.assertRaisesRegex(engine.Failure, "PLATFORM=linux/s390x: must be one of linux/amd64, linux/arm64"):
            engine.build("image", "", "linux/s390x")


class Build(unittest.TestCase):
    def test_the_builder_gets_the_manifest_of_each_member_of_the_workspace(self) -> None:
        repository = Path(__file__).parents[2]
        members = tomllib.loads((repository / "Cargo.toml").read_text())["workspace"]["members"]
        sent = (repository / ".dockerignore").read_text().splitlines()
        copied = (repository / "worker" / "Dockerfile").read_text().splitlines()
        for member in members:
            with self.subTest(member=member):
                self.assertIn(f"!{member}/Cargo.toml", sent)
                self.assertIn(f"COPY {member}/Cargo.toml {member}/", copied)


def layer(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    # Engines compress layers, or not.
    with tarfile.open(fileobj=buffer, mode="w:gz") as content:
        folder = tarfile.TarInfo("etc")
        folder.type = tarfile.DIRTYPE
        content.addfile(folder)
        for name, data in files.items():
            add(content, name, data)
    return buffer.getvalue()


def add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


if __name__ == "__main__":
    unittest.main()
