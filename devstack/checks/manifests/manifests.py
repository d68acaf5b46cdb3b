"""Renders the manifests of Kubernetes and validates objects.

manifests.py render DIRECTORY   prints the renderings of deploy/kubernetes: each overlay as it is,
                                with each component alone, and with all of them
manifests.py validate           validates the objects of standard input

Both languages are JSON. A fault is a line on standard error, and the exit code is 1.
"""

import concurrent.futures
import functools
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import kubernetes_validate.utils
import yaml

VERSIONS = ["1.34", "1.35", "1.36", "1.37"]

# Groups of custom resources, of which kubernetes-validate has no schemas.
CUSTOM = {
    "cert-manager.io",
    "external-secrets.io",
    "gateway.networking.k8s.io",
    "keda.sh",
    "monitoring.coreos.com",
    "postgresql.cnpg.io",
    "rabbitmq.com",
}

# The schemas are large, and would be read again for each object.
kubernetes_validate.utils.schema_contents = functools.cache(kubernetes_validate.utils.schema_contents)

KUBECTL = pathlib.Path(sys.executable).parent / "kubectl"


def faults(objects):
    """What the schemas of the supported versions refuse. An unknown kind is refused too."""
    for one in objects:
        if one["apiVersion"].rpartition("/")[0] in CUSTOM:
            continue
        name = f"{one['kind']} {one['metadata']['name']}"
        for version in VERSIONS:
            try:
                used = kubernetes_validate.validate(one, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                yield f"{name}, Kubernetes {version}: {'.'.join(map(str, error.path))}: {error.message}"
            except kubernetes_validate.SchemaNotFoundError as error:
                yield f"{name}: {error.message}"
            else:
                if used != version:
                    yield f"there is no schema of Kubernetes {version}"


def choices(directory):
    """Each overlay with the lists of components to render it with."""
    components = sorted(one.name for one in (directory / "components").iterdir())
    for overlay in sorted(one.name for one in (directory / "overlays").iterdir()):
        own = yaml.safe_load((directory / "overlays" / overlay / "kustomization.yaml").read_text())
        own = [pathlib.PurePath(one).name for one in own["components"]]
        yield overlay, own
        for component in components:
            if [component] != own:
                yield overlay, [component]
        # PostgreSQL and RabbitMQ are in the cluster or outside.
        yield overlay, [one for one in components if one != "managed-servers"]


def render(directory, overlay, components):
    with tempfile.TemporaryDirectory() as temporary:
        copy = pathlib.Path(temporary) / "kubernetes"
        shutil.copytree(directory, copy)
        # The component grafana refers to them.
        shutil.copytree(directory.parent / "dashboards", copy.parent / "dashboards")
        path = copy / "overlays" / overlay / "kustomization.yaml"
        kustomization = yaml.safe_load(path.read_text())
        kustomization["components"] = [f"../../components/{one}" for one in components]
        path.write_text(yaml.safe_dump(kustomization))
        command = [KUBECTL, "kustomize", path.parent]
        result = subprocess.run(command, capture_output=True, text=True)
        # A warning of kustomize is a fault.
        if result.returncode or result.stderr:
            sys.exit(f"{overlay} with {components}: {result.stderr}")
    objects = [one for one in yaml.safe_load_all(result.stdout) if one]
    return {"overlay": overlay, "components": components, "objects": objects}


def render_all(directory):
    with concurrent.futures.ThreadPoolExecutor() as pool:
        return list(pool.map(lambda choice: render(directory, *choice), choices(directory)))


def main():
    if sys.argv[1] == "render":
        renderings = render_all(pathlib.Path(sys.argv[2]))
        # Most objects are the same in every rendering.
        distinct = {json.dumps(one): one for every in renderings for one in every["objects"]}
        found = list(faults(distinct.values()))
        json.dump(renderings, sys.stdout)
    else:
        found = list(faults(json.load(sys.stdin)))
    for fault in found:
        print(fault, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
