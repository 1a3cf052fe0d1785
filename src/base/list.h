/* SPDX-License-Identifier: MIT */
/* list.h - doubly linked lists whose links lie in what is listed; wgw_container() of loop.h leads back */
#ifndef SRC_BASE_LIST_H
#define SRC_BASE_LIST_H

#include <stddef.h>

/** struct wgw_link - a place in a list, or its head; all zero: in none */
struct wgw_link {
	struct wgw_link *prev, *next;
};

/** wgw_list_init() - an empty list */
static inline void wgw_list_init(struct wgw_link *head)
{
	head->prev = head->next = head;
}

/** wgw_list_append() - @l, which is in no list, becomes the last one */
static inline void wgw_list_append(struct wgw_link *head, struct wgw_link *l)
{
	l->prev = head->prev;
	l->next = head;
	head->prev->next = l;
	head->prev = l;
}

/** wgw_list_remove() - takes @l out of the list that it is in, if any */
static inline void wgw_list_remove(struct wgw_link *l)
{
	if (!l->next)
		return;
	l->prev->next = l->next;
	l->next->prev = l->prev;
	l->prev = l->next = NULL;
}

#endif
