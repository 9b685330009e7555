/* A module that was written for a registry. */
int RegOpenKeyExW(void);
int DllGetClassObject(void);
int DllGetClassObject(void)
{
    return RegOpenKeyExW();
}
