//! Every module offers the whole C API, and has a word for each of its names.

use std::path::PathBuf;

/// Return the sources of a module, without its tests.
fn sources(language: &str) -> String {
    let root = seatmeter_e2e::root();
    let folders = match language {
        "python" => vec![root.join("bindings/python/src/seatmeter")],
        "java" => vec![root.join("bindings/java/src/seatmeter")],
        "node" => vec![root.join("bindings/node")],
        "go" => vec![root.join("bindings/go")],
        _ => vec![root.join("include")],
    };
    let files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap().flatten());
    let is_source = |path: &PathBuf| {
        path.extension().is_some_and(|ending| {
            ["py", "js", "java", "hpp", "go", "c"].iter().any(|e| ending == *e)
        }) && !path.ends_with("scenario.js")
    };
    let paths = files.map(|file| file.path()).filter(is_source);
    paths.map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

/// Return the text between the two ends of a declaration in the header.
fn header_names(begin: &str, end: &str, name: fn(&str) -> Option<&str>) -> Vec<String> {
    let header =
        std::fs::read_to_string(seatmeter_e2e::root().join("include/seatmeter.h")).unwrap();
    let from = header.find(begin).unwrap_or_else(|| panic!("{begin} is not in the header"));
    let part = &header[from..from + header[from..].find(end).unwrap()];
    part.lines().filter_map(name).map(str::to_owned).collect()
}

fn declared_functions() -> Vec<String> {
    let names = header_names("int InitDLSConnectionParameters", "#ifdef __cplusplus", |line| {
        let is_declaration = line.starts_with(|c: char| c.is_ascii_lowercase());
        let (before, _) = line.split_once('(').filter(|_| is_declaration)?;
        before.rsplit([' ', '*']).next()
    });
    assert!(names.len() > 20, "{names:?}");
    names
}

fn fields_of(structure: &str) -> Vec<String> {
    let names = header_names(structure, "\n}", |line| {
        let declaration = line.trim().strip_suffix(';')?.split('[').next()?;
        declaration.rsplit([' ', '*']).next()
    });
    assert!(names.len() > 10, "{names:?}");
    names
}

/// Return whether the sources of a module use a function of C, beyond its declaration and the word
/// for its name.
fn calls(language: &str, sources: &str, function: &str) -> bool {
    let uses = match language {
        "python" => ["(", ",", ")"].map(|end| format!("library.{function}{end}")).to_vec(),
        "java" => vec![format!("INSTANCE.{function}("), format!("INSTANCE::{function}")],
        // The table of functions gives each one a name of the module, and other code uses only this
        // name.
        "node" => {
            let declared = sources
                .find(&format!(" {function}("))
                .or_else(|| sources.find(&format!("*{function}(")));
            let Some(at) = declared else { return false };
            let line = sources[..at].rsplit('\n').next().unwrap_or_default();
            let name = line.trim().split(':').next().unwrap_or_default();
            return sources.contains(&format!("library.{name}("))
                || sources.contains(&format!("library.{name},"));
        }
        // Each has a function of C that a function of Go calls.
        "go" => {
            let own = match function {
                "InitDLSConnectionParameters" => "C.sm_Defaults(".to_owned(),
                "InitLicenseFromDLS" => "C.sm_Initialize(".to_owned(),
                "SM_SetLogCallback" => "C.sm_SetLog(".to_owned(),
                _ => format!("C.sm_{}(", function.trim_start_matches("SM_")),
            };
            return sources.contains(&format!("library.{function}_(")) && sources.contains(&own);
        }
        _ => vec![format!("{function}("), format!("({function},")],
    };
    uses.iter().any(|text| sources.contains(text))
}

#[test]
fn every_module_offers_every_function_of_the_header_and_has_a_word_for_it() {
    for language in ["python", "node", "java", "go", "cpp"] {
        let sources = sources(language);
        for function in declared_functions() {
            // Python makes every reader with the function that waits.
            let is_replaced = language == "python" && function == "SM_CreateReader";
            assert!(
                is_replaced || calls(language, &sources, &function),
                "{language} never calls {function}"
            );
            let has_word = [format!("\"{function}\""), format!("  {function}: '")];
            assert!(
                has_word.iter().any(|w| sources.contains(w)),
                "{language} has no word for {function}"
            );
        }
    }
}

#[test]
fn every_module_has_a_word_for_every_parameter_and_shows_every_field_of_the_status() {
    for language in ["python", "node", "java", "go", "cpp"] {
        let sources = sources(language);
        for field in fields_of("typedef struct SM_PACKED tagDM_DLSConnectionParameters") {
            // Functions that no module offers are in no message that its users can get.
            let is_offered =
                !["reserved", "products", "limitedLicenseModulesCount", "limitedLicenseModules"]
                    .contains(&field.as_str())
                    && field != "UUIDGenerationMethod";
            let has_word = [format!("\"{field}\""), format!("  {field}: '")];
            let has = has_word.iter().any(|w| sources.contains(w));
            assert!(has || !is_offered, "{language} has no word for {field}");
        }
        if language == "cpp" {
            // This function returns the struct itself.
            continue;
        }
        for field in fields_of("typedef struct SM_Status {").iter().filter(|field| *field != "size")
        {
            let name = if language == "python" { snake(field) } else { field.clone() };
            let shown = match language {
                "python" => sources.contains(&format!("\n    {name}: ")),
                "java" => {
                    sources.contains(&format!(" {name},\n"))
                        || sources.contains(&format!(" {name})"))
                }
                "go" => {
                    sources.contains(&format!("(raw.{name})"))
                        || sources.contains(&format!("&raw.{name}[0]"))
                }
                _ => sources.contains(&format!("\n  {name}: ")),
            };
            assert!(shown, "{language} does not show {field}");
        }
    }
}

fn snake(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}
