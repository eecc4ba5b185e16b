"""The program that finds the definitions: runs in Blarify's own environment, knows the standard library and Blarify.

`python -I -X utf8 worker/__main__.py TREE LIST SECONDS SOURCE`: TREE is the folder of the copy, LIST a file with a path
a line, SECONDS of processor time are the most for one file, SOURCE is 1 if the text of each definition is wanted. It
prints a JSON object a line: the definitions of a file, then what became of the file, and a line at the very end. When
it dies, the file at fault is the first of the list of which it has not told."""
