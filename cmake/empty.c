/* The shared library is made of carina_core; CMake wants one source file of its own. */
extern int carina_shared_has_no_code_of_its_own;
