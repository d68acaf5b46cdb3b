//! A stranger reads a crate from the bottom to the top only if its modules use each other in one
//! direction.

use latchkey_checks::{circles, crate_graph, crates, root};

#[test]
fn no_crate_has_modules_that_use_each_other_in_a_circle() {
    let mut found = Vec::new();
    for directory in crates().unwrap() {
        let graph = crate_graph(&root(), &directory).unwrap();
        for circle in circles(&graph) {
            let files = circle.join("\n  ");
            let arrows: Vec<String> = circle
                .iter()
                .flat_map(|from| {
                    let used = graph[from].iter().filter(|to| circle.contains(to));
                    used.map(move |to| format!("    {from} uses {to}"))
                })
                .collect();
            found.push(format!(
                "{} files:\n  {files}\n{}",
                circle.len(),
                arrows.join("\n")
            ));
        }
    }
    assert!(
        found.is_empty(),
        "{} circles of modules:\n{}",
        found.len(),
        found.join("\n")
    );
}
