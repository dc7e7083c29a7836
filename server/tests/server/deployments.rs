//! The files of `deploy/` for containers: valid for what reads them, and understood by the server.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::alerts::python_with;

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("deploy")
}

/// Run a script of Python with the path of a file of `deploy/`, and return what it prints.
fn printed(python: &str, script: &str, file: &str) -> String {
    let output = Command::new(python).args(["-c", script]).arg(deploy().join(file)).output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{file}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// Return the documents of a file.
fn documents(python: &str, file: &str) -> Vec<Value> {
    let script =
        "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
    serde_json::from_str(&printed(python, script, file)).unwrap()
}

const MANIFESTS: [&str; 2] = ["kubernetes.yaml", "kubernetes-embedded.yaml"];

#[test]
fn the_manifests_are_what_kubernetes_reads() {
    let Some(python) = python_with("kubernetes_validate, yaml") else { return };
    let script = "import sys, yaml, kubernetes_validate as k\n\
                  for document in yaml.safe_load_all(open(sys.argv[1])):\n\
                  \x20   k.validate(document, '1.37', strict=True)\n\
                  \x20   print(document['kind'])";
    let kinds = MANIFESTS.map(|file| printed(&python, script, file));
    assert_eq!(kinds, ["Deployment\nService\n", "StatefulSet\nService\n"]);
}

/// Return the containers of a manifest, those that run first included.
fn containers(python: &str, file: &str) -> Vec<Value> {
    let pods = documents(python, file).into_iter().map(|mut one| one["spec"]["template"].take());
    let of_pod = |pod: Value| {
        let lists = ["initContainers", "containers"].map(|name| pod["spec"][name].clone());
        lists.into_iter().filter_map(|list| list.as_array().cloned()).flatten().collect::<Vec<_>>()
    };
    pods.flat_map(of_pod).collect()
}

/// The image has the server and no shell, and its entry point is the server.
#[test]
fn containers_of_the_image_run_the_server_with_options_that_it_knows() {
    let Some(python) = python_with("yaml") else { return };
    let mut services = documents(&python, "compose.yaml").remove(0);
    let services = services["services"].as_object_mut().unwrap().values().cloned();
    let all: Vec<Value> =
        MANIFESTS.iter().flat_map(|file| containers(&python, file)).chain(services).collect();
    let is_ours = |one: &&Value| one["image"].as_str().unwrap().starts_with("seatmeterd:");
    let ours: Vec<&Value> = all.iter().filter(is_ours).collect();
    assert_eq!((all.len(), ours.len()), (4, 3));
    for container in ours {
        for replaces_it in ["command", "entrypoint"] {
            assert_eq!(container[replaces_it], Value::Null, "{container}");
        }
        let Some(arguments) = container["args"].as_array() else { continue };
        let arguments = arguments.iter().map(|argument| argument.as_str().unwrap());
        let help =
            Command::new(env!("CARGO_BIN_EXE_seatmeterd")).args(arguments).arg("--help").output();
        let help = help.unwrap();
        assert!(help.status.success(), "{}", String::from_utf8_lossy(&help.stderr));
    }
}
