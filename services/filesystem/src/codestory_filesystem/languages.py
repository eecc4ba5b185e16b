"""Which language a text file is written in, by its name or its first line.

Our own table: the libraries for it name what a highlighter needs (`Text only`, `ca65 assembler`), leave the common
endings ambiguous, and would change every digest with their next version.
"""

import re

_BY_EXTENSION = {
    "Ada": "ada adb ads",
    "AsciiDoc": "adoc asciidoc",
    "Assembly": "asm s",
    "Astro": "astro",
    "Awk": "awk",
    "Batch": "bat cmd",
    "Bicep": "bicep bicepparam",
    "C": "c h",
    "C#": "cs csx",
    "C++": "cc cpp cxx c++ hh hpp hxx h++ inl ipp tpp ixx",
    "CMake": "cmake",
    "COBOL": "cob cbl cpy",
    "CSS": "css",
    "CSV": "csv tsv",
    "CUDA": "cu cuh",
    "Clojure": "clj cljs cljc edn",
    "CoffeeScript": "coffee",
    "Common Lisp": "lisp cl asd",
    "Crystal": "cr",
    "Cypher": "cypher cql",
    "Cython": "pyx pxd pxi",
    "D": "d di",
    "Dart": "dart",
    "Diff": "diff patch",
    "Elixir": "ex exs",
    "Elm": "elm",
    "Emacs Lisp": "el",
    "Erlang": "erl hrl",
    "F#": "fs fsi fsx",
    "Fortran": "f f03 f08 f77 f90 f95 for",
    "GLSL": "glsl vert frag comp geom",
    "Gettext": "po pot",
    "Go": "go",
    "GraphQL": "graphql gql",
    "Groovy": "groovy gradle gvy",
    "HCL": "hcl tf tfvars",
    "HTML": "html htm xhtml",
    "Handlebars": "hbs handlebars mustache",
    "Haskell": "hs lhs",
    "INI": "ini cfg conf",
    "JSON": "json jsonc json5 jsonl ndjson geojson webmanifest",
    "Java": "java",
    "JavaScript": "js cjs mjs jsx",
    "Jinja": "j2 jinja jinja2",
    "Julia": "jl",
    "Jupyter Notebook": "ipynb",
    "Kotlin": "kt kts",
    "LaTeX": "tex sty cls bib",
    "Less": "less",
    "Lua": "lua",
    "MATLAB": "mlx",
    "Makefile": "mk mak make",
    "Markdown": "md markdown mdown mkd mdx",
    "Nim": "nim nims",
    "Nix": "nix",
    "OCaml": "ml mli",
    "Objective-C": "m",
    "Objective-C++": "mm",
    "Org": "org",
    "PHP": "php phtml php3 php4 php5",
    "Pascal": "pas pp dpr",
    "Perl": "pl pm t",
    "PowerShell": "ps1 psm1 psd1",
    "Prolog": "pro prolog",
    "Properties": "properties env",
    "Protocol Buffers": "proto",
    "Pug": "pug jade",
    "Puppet": "epp",
    "Python": "py pyi pyw",
    "R": "r rmd",
    "Racket": "rkt",
    "Ruby": "rb rake gemspec erb",
    "Rust": "rs",
    "SCSS": "scss sass",
    "SQL": "sql ddl dml",
    "SVG": "svg",
    "Scala": "scala sc sbt",
    "Scheme": "scm ss",
    "Shell": "sh bash zsh ksh fish",
    "Solidity": "sol",
    "Starlark": "bzl star bazel",
    "Svelte": "svelte",
    "Swift": "swift",
    "SystemVerilog": "sv svh",
    "TOML": "toml",
    "Tcl": "tcl",
    "Text": "txt text",
    "Thrift": "thrift",
    "TypeScript": "ts tsx cts mts",
    "VHDL": "vhd vhdl",
    "Verilog": "v vh",
    "Vim Script": "vim",
    "Visual Basic": "vb bas vbs",
    "Vue": "vue",
    "WebAssembly": "wat wast",
    "XML": "xml xsd xsl xslt rng wsdl plist resx csproj vbproj fsproj props targets",
    "YAML": "yaml yml",
    "Zig": "zig zon",
    "reStructuredText": "rst rest",
}
_BY_NAME = {
    "CMake": "CMakeLists.txt",
    "Docker": "Dockerfile Containerfile",
    "Go": "go.mod go.sum go.work",
    "Groovy": "Jenkinsfile",
    "INI": ".editorconfig .flake8 .gitconfig .gitmodules .npmrc .pylintrc",
    "Ignore List": ".gitignore .dockerignore .codestoryignore .npmignore .eslintignore .prettierignore",
    "JSON": ".babelrc .eslintrc .prettierrc composer.lock Pipfile.lock flake.lock",
    "Just": "justfile Justfile",
    "Makefile": "Makefile makefile GNUmakefile Kbuild",
    "Properties": ".env",
    "Ruby": "Gemfile Rakefile Vagrantfile Podfile Brewfile Guardfile",
    "Shell": ".bashrc .bash_profile .profile .zshrc .envrc PKGBUILD",
    "Starlark": "BUILD WORKSPACE Tiltfile",
    "TOML": "Cargo.lock Pipfile poetry.lock uv.lock pdm.lock",
    "Vim Script": ".vimrc",
    "YAML": ".clang-format .clang-tidy",
}
_BY_INTERPRETER = {
    "Awk": "awk gawk mawk",
    "Elixir": "elixir",
    "Erlang": "escript",
    "Groovy": "groovy",
    "JavaScript": "node nodejs bun",
    "Julia": "julia",
    "Just": "just",
    "Lua": "lua luajit",
    "Makefile": "make",
    "Nix": "nix-shell",
    "PHP": "php",
    "Perl": "perl",
    "PowerShell": "pwsh",
    "Python": "python pypy uv",
    "R": "Rscript",
    "Racket": "racket",
    "Ruby": "ruby",
    "Scala": "scala",
    "Shell": "sh bash dash ksh zsh fish ash",
    "Swift": "swift",
    "Tcl": "tclsh wish expect",
    "TypeScript": "deno ts-node tsx",
}
#: The program of a `#!` line, past `env` with its options and variables; versions (`python3.12`) are left off.
_SHEBANG = re.compile(rb"#![ \t]*(?:\S*/)?(?:env[ \t]+(?:(?:-\S*|\w+=\S*)[ \t]+)*(?:\S*/)?)?([A-Za-z_-]+)")


def _reversed(table: dict[str, str]) -> dict[str, str]:
    return {word: language for language, words in table.items() for word in words.split()}


_EXTENSIONS, _NAMES, _INTERPRETERS = map(_reversed, (_BY_EXTENSION, _BY_NAME, _BY_INTERPRETER))


def extension_of(name: str) -> str:
    """`py` of `setup.py`: lower case, without the dot. Empty if there is none, or if it is too long to be one."""
    stem, _, extension = name.rpartition(".")
    return extension.lower() if stem and extension and len(extension) <= 20 else ""


def language_of(name: str, start: bytes) -> str | None:
    """The language of a text file, from its name, else from a `#!` in its first bytes."""
    language = _NAMES.get(name) or _EXTENSIONS.get(extension_of(name)) or _NAMES.get(name.partition(".")[0])
    if language is None and (shebang := _SHEBANG.match(start)):
        language = _INTERPRETERS.get(shebang[1].decode("ascii"))
    return language
