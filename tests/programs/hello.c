/* SPDX-License-Identifier: MIT */
/* hello.c - prints a word; also built statically linked, as a program that cannot be captured */
#include <stdio.h>

int main(void)
{
	puts("hello");
	return 0;
}
