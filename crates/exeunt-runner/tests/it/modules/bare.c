/* A library that has nothing to do with modules. */
int seven(void);
int seven(void)
{
    return 7;
}
